"""Invented names, places and telephone numbers of the demo, one entry per country. Everything here is made up.

Telephone numbers come from ranges set aside for fiction where a country has them (Germany, France, United Kingdom, Sweden,
North America), elsewhere from numbers with 555 01 in them. E-mail and web addresses end in .example.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Country:
    """One country: code, calling code, currency, language; `places` are (post code, city, county); `trades` go with `brands`.

    `pattern` puts a company name together; `phones` hold # for a random digit. Where the script is not Latin, `latin` gives the
    spelling that e-mail and web addresses use, in the order of brands, trades, first names and surnames.
    """

    code: str
    currency: str
    language: str
    vat: str
    places: tuple[tuple[str, str, str], ...]
    streets: tuple[str, ...]
    brands: tuple[str, ...]
    trades: tuple[str, ...]
    legal: tuple[str, ...]
    first: tuple[str, ...]
    last: tuple[str, ...]
    phones: tuple[str, ...]
    mobiles: tuple[str, ...]
    pattern: str = "{brand} {trade} {legal}"
    address: str = "{street} {number}"


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("|"))


def _places(text: str) -> tuple[tuple[str, str, str], ...]:
    found = []
    for part in text.split("|"):
        code, city, *county = (piece.strip() for piece in part.split(";"))
        found.append((code, city, county[0] if county else ""))
    return tuple(found)


COUNTRIES: dict[str, Country] = {
    country.code: country
    for country in (
        Country(
            "DE", "", "DEU", "DE#########",
            _places("20457;Hamburg|80331;München|50667;Köln|01067;Dresden|70173;Stuttgart|04109;Leipzig|90402;Nürnberg|28195;Bremen"),
            _words("Hafenstraße|Lindenallee|Am Mühlbach|Königstraße|Gewerbepark Süd|Bahnhofstraße|Schützenweg|Marktplatz"),
            _words("Brüggemann|Küstenwind|Alsterkontor|Hölzle|Grünfeld|Sonnhof|Müllerjahn|Elbfähr|Weißdorn|Jäger & Söhne|Ostertor"
                   "|Birkenau|Heidekrug|Rheinbogen|Möwenstein|Kranichfeld"),
            _words("Maschinenbau|Großhandel|Werkzeuge|Möbel|Lebensmittel|Elektrotechnik|Verpackungen|Gartenbau"),
            _words("GmbH|GmbH & Co. KG|AG|KG|OHG|e.K."),
            _words("Jürgen|Anneliese|Jörg|Käthe|Björn|Heike|Torsten|Ulrike|Günther|Mareike"),
            _words("Müllers|Schröderhoff|Weißenborn|Königsfeld|Grübel|Schäfermann|Löwitz|Brinkhaus|Öttinger-Voß|Haßlach"),
            _words("+49 30 23125 ###|+49 40 66969 ###|+49 89 99998 ###|+49 221 4710 ###|+49 69 90009 ###"),
            _words("+49 171 39200 ##|+49 176 040690 ##"),
        ),
        Country(
            "SE", "SEK", "SVE", "SE##########01",
            _places("111 29;Stockholm|411 03;Göteborg|211 20;Malmö|753 10;Uppsala|602 21;Norrköping|903 26;Umeå"),
            _words("Storgatan|Åkervägen|Östra Hamngatan|Kungsgatan|Björkstigen|Sjötullsgatan"),
            _words("Norrsken|Sjöberga|Ångkraft|Björkdal|Lövhult|Fjällräv|Ekensund|Håkans"),
            _words("Trä|Mekaniska|Livs|Möbler|Verktyg|Transport"),
            _words("AB|HB|AB (publ)"),
            _words("Åsa|Göran|Märta|Lars-Åke|Örjan|Elin|Sven|Björg"),
            _words("Ångström-Lind|Sjögrenius|Löfvander|Åkerhielm|Bergqvistén|Nordahlén|Hälsing|Öberger"),
            _words("+46 8 465 004 ##|+46 31 390 06 ##|+46 40 628 04 ##"),
            _words("+46 70 174 06 ##"),
        ),
        Country(
            "DK", "DKK", "DAN", "DK########",
            _places("1050;København K|8000;Aarhus C|5000;Odense C|9000;Aalborg"),
            _words("Søndergade|Østerbrogade|Ågade|Havnevej|Bredgade"),
            _words("Sønderskov|Østkyst|Æblegård|Blåvand|Fjordholm|Rødby|Lærkebo"),
            _words("Møbler|Fødevarer|Maskiner|Handel|Skibsværft"),
            _words("A/S|ApS|I/S"),
            _words("Søren|Bjørn|Kjær|Mette|Åge|Signe"),
            _words("Østergårdsen|Højbjærg|Skovsgård|Nørrebyen|Kjærulfsen"),
            _words("+45 33 55 01 ##|+45 86 55 01 ##"),
            _words("+45 20 55 01 ##"),
        ),
        Country(
            "NO", "NOK", "NOR", "NO#########MVA",
            _places("0150;Oslo|5003;Bergen|7010;Trondheim|4006;Stavanger"),
            _words("Fjordveien|Øvre Slottsgate|Strandgata|Kirkeveien"),
            _words("Nordlysa|Fjellheim|Bølgen|Tørrfisk|Skogvær"),
            _words("Sjømat|Verft|Trevare|Energi"),
            _words("AS|ASA|ANS"),
            _words("Øyvind|Ingrid|Håkon|Solveig|Bjørnar"),
            _words("Fjelldalen|Ødegårdsen|Sæthermo|Brekkås"),
            _words("+47 22 55 01 ##|+47 55 55 01 ##"),
            _words("+47 905 55 0##"),
        ),
        Country(
            "FR", "", "FRA", "FR###########",
            _places("75011;Paris|69002;Lyon|13002;Marseille|67000;Strasbourg|33000;Bordeaux|44000;Nantes"),
            _words("rue de la République|avenue des Chênes|quai Saint-Éloi|boulevard Voltaire|rue du Faubourg"),
            _words("Beauséjour|L'Étoile|Crémieux|Deschênes|Val d'Azur|Françoise & Fils|Hélianthe"),
            _words("Boulangerie|Mécanique|Ébénisterie|Négoce|Emballages|Vignobles"),
            _words("SARL|SAS|SA|SNC"),
            _words("Hélène|François|Zoé|Jérôme|Maëlys|Benoît|Anaïs"),
            _words("Lefèvrier|Desjardinières|Château-Renaud|Bénéteaux|D'Arcourt|Garçonnet"),
            _words("+33 1 99 00 ## ##|+33 4 65 71 ## ##|+33 5 36 49 ## ##"),
            _words("+33 6 39 98 ## ##"),
            "{trade} {brand} {legal}", "{number} {street}",
        ),
        Country(
            "ES", "", "ESP", "ES########X",
            _places("28004;Madrid;Madrid|08002;Barcelona;Barcelona|46002;València;València|41001;Sevilla;Sevilla|15003;A Coruña"),
            _words("Calle Mayor|Avenida de España|Plaza del Ángel|Calle Núñez|Camí Vell"),
            _words("Muñozábal|Peñalba|Azahar|Montañés|Íñigo e Hijos|Cigüeña"),
            _words("Cerámicas|Construcciones|Aceites|Muebles|Logística"),
            _words("S.L.|S.A.|S.L.U."),
            _words("José María|Begoña|Íñigo|Ana Belén|Ramón|Lucía"),
            _words("Ibáñeta|Muñozábal|Peñarroyo|Güellar|Zubizarrena|de la Vegalta"),
            _words("+34 91 555 01 ##|+34 93 555 01 ##"),
            _words("+34 600 555 0##"),
            "{trade} {brand} {legal}",
        ),
        Country(
            "PL", "PLN", "PLK", "PL##########",
            _places("00-020;Warszawa|30-001;Kraków|90-001;Łódź|80-001;Gdańsk|50-001;Wrocław"),
            _words("ul. Długa|ul. Świętokrzyska|al. Piłsudskiego|ul. Łąkowa"),
            _words("Źródło|Bałtyk|Żubrowisko|Świt|Grzędomir|Łabędź"),
            _words("Meble|Przemysł|Hurtownia|Narzędzia|Ogrody"),
            _words("Sp. z o.o.|S.A.|sp.j."),
            _words("Łukasz|Małgorzata|Stanisław|Agnieszka|Wojciech|Żaneta"),
            _words("Wiśniewiecki|Dąbrowiak|Żółkowski|Szczęśniak|Zielińczyk"),
            _words("+48 22 555 01 ##|+48 12 555 01 ##"),
            _words("+48 600 555 0##"),
        ),
        Country(
            "GB", "GBP", "ENG", "GB#########",
            _places("EC1A 1BB;London;Greater London|M2 5DB;Manchester|LS1 4AP;Leeds;West Yorkshire|EH1 1YZ;Edinburgh"),
            _words("High Street|Kingsway|Station Road|Mill Lane|St. Mary's Row"),
            _words("Ashcombe|O'Rourke & Hale|Thistledown|Blackwater|King's Yard|Penhallow|Wolds End|Fenwick-Grey"),
            _words("Engineering|Provisions|Furnishings|Tools|Packaging"),
            _words("Ltd|PLC|LLP"),
            _words("Siobhán|Oliver|Priya|Callum|Imogen|D'Arcy"),
            _words("O'Connorly|Featherstonely|Ashworthy|MacIntyrell|St. Johnson"),
            _words("+44 20 7946 0###|+44 161 496 0###|+44 113 496 0###"),
            _words("+44 7700 900###"),
            address="{number} {street}",
        ),
        Country(
            "US", "USD", "ENU", "",
            _places("10013;New York;NY|60606;Chicago;IL|98101;Seattle;WA|78701;Austin;TX|02110;Boston;MA"),
            _words("Main Street|Lakeshore Drive|5th Avenue|Industrial Parkway|Elm Street"),
            _words("Redwood|Blue Ridge|Mc'Allister|Copperfield|Harbor & Pine|Silver Lake|Prairie Dog|Old Mill"),
            _words("Supply|Manufacturing|Foods|Hardware|Logistics"),
            _words("Inc.|LLC|Corp."),
            _words("Madison|Tyrell|José|Latoya|Hank|Mei-Ling"),
            _words("Hollingsway|O'Bannonly|Delacruzado|Fitzwilliamson|Nguyenly"),
            _words("+1 212 555 01##|+1 312 555 01##|+1 206 555 01##|+1 512 555 01##"),
            _words("+1 646 555 01##"),
            address="{number} {street}",
        ),
        Country(
            "TR", "", "TRK", "TR##########",
            _places("34430;İstanbul|06420;Ankara|35210;İzmir"),
            _words("İstiklal Caddesi|Çiçek Sokak|Atatürk Bulvarı|Gül Sokağı"),
            _words("Yıldızhan|Güneşli|Çınaraltı|Şahinbey"),
            _words("Tekstil|Gıda|Mobilya|Makine"),
            _words("A.Ş.|Ltd. Şti."),
            _words("Ayşegül|Çağrı|İbrahim|Gülşen|Şule"),
            _words("Yıldırımoğlu|Çelikbaş|Öztürkmen|Şimşekçi"),
            _words("+90 212 555 01 ##"),
            _words("+90 530 555 01 ##"),
        ),
        Country(
            "GR", "", "ELL", "EL#########",
            _places("105 57;Αθήνα|546 24;Θεσσαλονίκη|262 21;Πάτρα"),
            _words("Οδός Ερμού|Λεωφόρος Νίκης|Οδός Αγίου Ανδρέα"),
            _words("Ελαιώνας|Αιγαίον|Μελισσάκι|Ποσειδωνία"),
            _words("Τρόφιμα|Ναυτιλιακή|Έπιπλα"),
            _words("Α.Ε.|Ε.Π.Ε."),
            _words("Γιώργος|Ελένη|Νίκος|Δέσποινα"),
            _words("Παπαδακίδης|Κωνσταντάκου|Οικονομέας"),
            _words("+30 21 0555 01##"),
            _words("+30 690 555 01##"),
        ),
        Country(
            "UA", "", "UKR", "UA############",
            _places("01001;Київ|79000;Львів|65000;Одеса"),
            _words("вул. Хрещатицька|вул. Шевченківська|просп. Миру"),
            _words("Дніпрогай|Соняшник|Карпатія|Чорноліс"),
            _words("Меблі|Агро|Будмаш"),
            _words("ТОВ|ПрАТ"),
            _words("Олександр|Юлія|Ігор|Наталія"),
            _words("Шевченчук|Ковалівський|Бондаренчик"),
            _words("+380 44 555 01 ##"),
            _words("+380 50 555 01 ##"),
            "{legal} «{brand} {trade}»",
        ),
        Country(
            "JP", "", "JPN", "",
            _places("100-0005;千代田区;東京都|530-0001;大阪市;大阪府|460-0008;名古屋市;愛知県"),
            _words("丸の内|梅田|栄町"),
            _words("東海|青空|さくら|山吹"),
            _words("精密工業|食品|物流|家具"),
            _words("株式会社|有限会社"),
            _words("太郎|花子|健一|美咲"),
            _words("青木原|山之内川|佐々倉"),
            _words("+81 3 5550 01##"),
            _words("+81 90 5550 01##"),
            "{brand}{trade}{legal}", "{street}{number}番地",
        ),
        Country(
            "CN", "", "CHS", "",
            _places("200001;上海;上海|510000;广州;广东|518000;深圳;广东"),
            _words("南京路|中山大道|人民路"),
            _words("华星|金桥|远洋|东方红"),
            _words("机械|电子|贸易|包装"),
            _words("有限公司|股份有限公司"),
            _words("伟|芳|秀英|建国"),
            _words("欧阳|司马|诸葛"),
            _words("+86 21 5550 01##"),
            _words("+86 138 5550 01##"),
            "{brand}{trade}{legal}", "{street}{number}号",
        ),
        Country(
            "IL", "", "HEB", "IL#########",
            _places("6100001;תל אביב|3100001;חיפה"),
            _words("רחוב הרצל|שדרות בן גוריון"),
            _words("כוכב הים|גל-אור|זית ותאנה"),
            _words("מזון|תעשיות|רהיטים"),
            _words('בע"מ',),
            _words("יעל|דוד|נועה|אבי"),
            _words("כהנוביץ|לוינסקר|בן-צורי"),
            _words("+972 3 555 01##"),
            _words("+972 50 555 01##"),
        ),
        Country(
            "AE", "", "ARA", "",
            _places("00000;دبي|00000;أبوظبي"),
            _words("شارع الشيخ زايد|شارع الكورنيش"),
            _words("النخيل|اللؤلؤة|الصقر الذهبي"),
            _words("للتجارة|للأغذية|للنقل"),
            _words("ذ.م.م"),
            _words("محمد|فاطمة|خالد|ليلى"),
            _words("المنصوري الحر|البحراوي|الشامخي"),
            _words("+971 4 555 01##"),
            _words("+971 50 555 01##"),
            "شركة {brand} {trade} {legal}",
        ),
    )
}  # fmt: skip

#: How often a country comes up among the rows that are not planted.
SHARES: dict[str, int] = {
    "DE": 30, "SE": 10, "DK": 8, "NO": 6, "FR": 10, "ES": 7, "PL": 7, "GB": 9, "US": 8,
    "TR": 3, "GR": 3, "UA": 3, "JP": 3, "CN": 3, "IL": 2, "AE": 2,
}  # fmt: skip

_ASCII = {
    ord(letter): plain
    for plain, letters in {
        "ae": "äæ", "oe": "öø", "ue": "ü", "ss": "ß", "aa": "å", "a": "áàâą", "c": "çć", "e": "éèêëę", "g": "ğ", "i": "ïîíı",
        "l": "ł", "n": "ñń", "o": "óô", "s": "śş", "u": "úû", "z": "żź",
    }.items()
    for letter in letters
}  # fmt: skip


def ascii_name(text: str, fallback: str) -> str:
    """`text` as it may stand in a web address: lower case, a-z and digits only; `fallback` where no letters remain."""
    folded = text.replace("İ", "i").lower().translate(_ASCII)
    kept = "".join(letter for letter in folded if letter.isascii() and letter.isalnum())
    return kept if len(kept) >= 3 else fallback


def digits(rng: Random, pattern: str) -> str:
    """`pattern` with every # replaced by a random digit."""
    return "".join(str(rng.randrange(10)) if letter == "#" else letter for letter in pattern)
