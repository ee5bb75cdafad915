"""The five lists with captions in other languages than English: read like the English ones, and any other language by stating it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from test_exports import LISTS, MISSING, SPELLINGS, Lists, as_csv, holds

import synckit
from synckit.cli import main
from synckit.diagnosis.captions import captions, folded
from synckit.diagnosis.job_lists import HEADS, known_heads
from synckit.errors import SynckitError

#: Language -> how its pages head the lists, in the order of the English ones; how its cells say the words; how a line of totals begins.
PAGES: dict[str, tuple[dict[str, list[str]], dict[str, str], str]] = {
    "German": (
        {"Jobs": ["Startdatum/-uhrzeit", "Enddatum/-uhrzeit", "Dauer", "Entkoppelt", "Gekoppelt", "Eingefügt", "Geändert", "Gelöscht", "Unverändert",
                  "Fehlgeschlagen", "Übersprungen", "Richtung", "Typ", "Meldung"],
         "Errors": ["Nr.", "Datum/Uhrzeit", "Fehlermeldung", "Hilfelink", "Quelle", "Ziel"],
         "Skipped": ["Tabellen-ID", "Tabellenname", "Beschreibung", "Datensatz vorhanden", "Gekoppelt mit", "Gekoppelter Datensatz vorhanden",
                     "Fehlermeldung", "Fehlgeschlagen am"],
         "Mappings": ["Name", "Tabelle", "Tabellenfilter", "Richtung", "Integrationstabelle", "Integrationstabellenfilter",
                      "Nur gekoppelte Datensätze synchronisieren", "Synch. mehrerer Mandanten aktiviert", "Integrationsfeld", "Integrationsfeldtyp",
                      "Filter A", "Filter B", "Löschkonflikte auflösen", "Aktualisierungskonflikte auflösen", "Benutzerdefiniert"],
         "Couplings": ["CRM-ID", "Integrations-ID", "Tabellen-ID", "Last Synch. Modified On", "Last Synch. CRM Modified On", "Last Synch. Result",
                       "Last Synch. CRM Result", "Übersprungen"]},
        {"Customer": "Debitor", "Contact": "Kontakt", "CRM Account": "CRM-Konto", "CRM Contact": "CRM-Kontakt", " to ": " zu ", "Bidirectional": "Bidirektional",
         "Synchronization": "Synchronisierung", "Success": "Erfolg", "Failure": "Fehler", "View": "Anzeigen"}, "Gesamt"),
    "French": (
        {"Jobs": ["Date/heure début", "Date/heure fin", "Durée", "Découplé", "Couplé", "Inséré", "Modifié", "Supprimé", "Inchangé", "Échec", "Ignoré", "Sens",
                  "Type", "Message"],
         "Errors": ["N°", "Date/heure", "Message d’erreur", "Lien d’aide", "Source", "Destination"],
         "Skipped": ["ID table", "Nom table", "Description", "L’enregistrement existe", "Couplé à", "L’enregistrement couplé existe", "Message d’erreur",
                     "Échec le"],
         "Mappings": ["Nom", "Table", "Filtre table", "Sens", "Table d’intégration", "Filtre table intégration", "Synch. uniquement les enregistrements couplés",
                      "Synch. multi-société activée", "Champ d’intégration", "Type champ", "Filtre A", "Filtre B", "Résoudre les conflits de suppression",
                      "Résoudre les conflits de mise à jour", "Défini par l’utilisateur"],
         "Couplings": ["ID CRM", "ID intégration", "ID table", "Last Synch. Modified On", "Last Synch. CRM Modified On", "Last Synch. Result",
                       "Last Synch. CRM Result", "Ignoré"]},
        {"Customer": "Client", "CRM Account": "Compte CRM", "CRM Contact": "Contact CRM", " to ": " vers ", "Bidirectional": "Bidirectionnel",
         "Synchronization": "Synchronisation", "Success": "Réussite", "Failure": "Échec", "View": "Afficher"}, "Total général"),
    "Danish": (
        {"Jobs": ["Startdato/-klokkeslæt", "Slutdato/-klokkeslæt", "Varighed", "Frakoblet", "Sammenkædet", "Indsat", "Ændret", "Slettet", "Uændret",
                  "Mislykkedes", "Sprunget over", "Retning", "Type", "Meddelelse"],
         "Errors": ["Nr.", "Dato/klokkeslæt", "Fejlmeddelelse", "Link til hjælp", "Kilde", "Destination"],
         "Skipped": ["Tabel-id", "Tabelnavn", "Beskrivelse", "Record findes", "Sammenkædet med", "Sammenkædet record findes", "Fejlmeddelelse",
                     "Mislykkedes den"],
         "Mappings": ["Navn", "Tabel", "Tabelfilter", "Retning", "Integrationstabel", "Integrationstabelfilter", "Synkroniser kun sammenkædede records",
                      "Synk. af flere regnskaber", "Integrationsfelt", "Integrationsfelttype", "Filter A", "Filter B", "Løs sletningskonflikter",
                      "Løs opdateringskonflikter", "Brugerdefineret"],
         "Couplings": ["CRM-id", "Integrations-id", "Tabel-id", "Last Synch. Modified On", "Last Synch. CRM Modified On", "Last Synch. Result",
                       "Last Synch. CRM Result", "Sprunget over"]},
        {"Customer": "Debitor", "Contact": "Kontakt", "CRM Account": "CRM-konto", "CRM Contact": "CRM-kontakt", " to ": " til ", "Bidirectional": "Tovejs",
         "Synchronization": "Synkronisering", "Success": "Lykkedes", "Failure": "Fejl", "View": "Vis"}, "I alt"),
    "Dutch": (
        {"Jobs": ["Begindatum/-tijd", "Einddatum/-tijd", "Duur", "Ontkoppeld", "Gekoppeld", "Ingevoegd", "Gewijzigd", "Verwijderd", "Ongewijzigd", "Mislukt",
                  "Overgeslagen", "Richting", "Type", "Bericht"],
         "Errors": ["Nr.", "Datum/tijd", "Foutmelding", "Helpkoppeling", "Bron", "Bestemming"],
         "Skipped": ["Tabel-id", "Tabelnaam", "Omschrijving", "Record bestaat", "Gekoppeld aan", "Gekoppelde record bestaat", "Foutmelding", "Mislukt op"],
         "Mappings": ["Naam", "Tabel", "Tabelfilter", "Richting", "Integratietabel", "Integratietabelfilter", "Alleen gekoppelde records synchroniseren",
                      "Synch. met meerdere bedrijven", "Integratieveld", "Integratieveldtype", "Filter A", "Filter B", "Verwijderingsconflicten oplossen",
                      "Updateconflicten oplossen", "Door gebruiker gedefinieerd"],
         "Couplings": ["CRM-id", "Integratie-id", "Tabel-id", "Last Synch. Modified On", "Last Synch. CRM Modified On", "Last Synch. Result",
                       "Last Synch. CRM Result", "Overgeslagen"]},
        {"Customer": "Klant", "CRM Account": "CRM-account", "CRM Contact": "CRM-contact", " to ": " naar ", "Bidirectional": "Bidirectioneel",
         "Synchronization": "Synchronisatie", "Success": "Geslaagd", "Failure": "Fout", "View": "Weergeven"}, "Totaal"),
    "Spanish": (
        {"Jobs": ["Fecha/hora inicio", "Fecha/hora fin", "Duración", "Desemparejado", "Emparejado", "Insertado", "Modificado", "Eliminado", "Sin cambios",
                  "Errores", "Omitido", "Dirección", "Tipo", "Mensaje"],
         "Errors": ["N.º", "Fecha/hora", "Mensaje de error", "Vínculo de ayuda", "Origen", "Destino"],
         "Skipped": ["Id. tabla", "Nombre tabla", "Descripción", "El registro existe", "Emparejado con", "El registro emparejado existe", "Mensaje de error",
                     "Error el"],
         "Mappings": ["Nombre", "Tabla", "Filtro de tabla", "Dirección", "Tabla de integración", "Filtro de tabla de integración",
                      "Sincronizar solo registros emparejados", "Sincronización multiempresa habilitada", "Campo de integración", "Tipo de campo", "Filtro A",
                      "Filtro B", "Resolver conflictos de eliminación", "Resolver conflictos de actualización", "Definido por el usuario"],
         "Couplings": ["Id. CRM", "Id. integración", "Id. tabla", "Last Synch. Modified On", "Last Synch. CRM Modified On", "Last Synch. Result",
                       "Last Synch. CRM Result", "Omitido"]},
        {"Customer": "Cliente", "Contact": "Contacto", "CRM Account": "Cuenta de CRM", "CRM Contact": "Contacto de CRM", " to ": " a ",
         "Bidirectional": "Bidireccional", "Synchronization": "Sincronización", "Success": "Correcto", "Failure": "Error", "View": "Ver"}, "Totales"),
}  # fmt: skip
#: How the countries of these languages write dates, numbers and yes.
SPELLINGS |= {
    "Dutch": (";", "%d-%m-%Y %H:%M", ".", ("Ja", "Nee"), "utf-8", "day/month/year"),
    "Spanish": (";", "%d/%m/%Y %H:%M", ".", ("Sí", "No"), "cp1252", "day/month/year"),
}
MESSAGES = {message for row in LISTS["Errors"][1] for message in row if isinstance(message, str) and len(message) > 20}


def pages_in(language: str, *, messages: dict[str, str] | None = None) -> Lists:
    """The lists as pages of a language show them; the messages of errors stay, unless given."""
    heads, words, _ = PAGES[language]

    def said(value: Any) -> Any:
        if not isinstance(value, str) or value in MESSAGES:
            return (messages or {}).get(value, value)
        for english, text in sorted(words.items(), key=lambda w: -len(w[0])):
            value = value.replace(english, text)
        return value

    return {name: (heads[name], [[said(v) for v in row] for row in rows]) for name, (_, rows) in LISTS.items()}


@pytest.mark.parametrize("language", list(PAGES))
def test_pages_of_a_language(tmp_path: Path, language: str) -> None:
    for upside_down in (False, True):
        folder = as_csv(
            tmp_path / str(upside_down), language, upside_down=upside_down, lists=pages_in(language), total=PAGES[language][2]
        )
        log = synckit.read_job_log(folder)
        holds(log)
        read_as = dict(zip(log.formats["list"], log.formats["read as"], strict=True))
        assert all(f"captions {language}" in text for kind, text in read_as.items() if kind != "couplings"), read_as
        assert all(SPELLINGS[language][-1] in read_as[kind] for kind in ("jobs", "errors", "skipped", "couplings"))
        assert any("1 totals line" in n for n in log.notes) and not any("--column" in n for n in log.notes)


@pytest.mark.parametrize("language", list(PAGES))
def test_workbooks_of_a_language(tmp_path: Path, language: str) -> None:
    book = openpyxl.Workbook()
    for name, (head, rows) in pages_in(language).items():
        sheet = book.create_sheet(name)
        for row in [["Integration"], [], head, *rows]:
            sheet.append(row)
    book.save(tmp_path / "lists.xlsx")
    holds(synckit.read_job_log(tmp_path / "lists.xlsx"))


@pytest.mark.parametrize("language", list(PAGES))
def test_without_the_list_of_mappings_tables_are_known_by_their_captions(tmp_path: Path, language: str) -> None:
    lists = pages_in(language)
    log = synckit.read_job_log(as_csv(tmp_path / "lists", language, lists={"Jobs": lists["Jobs"], "Skipped": lists["Skipped"]}))
    assert set(log.jobs["mapping"]) == {"CUSTOMER", "CONTACT"} and set(log.skipped["mapping"]) == {"CUSTOMER"}
    assert set(log.jobs["direction"]) == {"to_integration", "from_integration"}


def test_messages_of_another_language_are_grouped_by_wording_and_reported(tmp_path: Path) -> None:
    german = "Währungscode GBP muss mit einem Datensatz in Dataverse gekoppelt sein."
    log = synckit.read_job_log(as_csv(tmp_path / "lists", "German", lists=pages_in("German", messages={MISSING: german})))
    assert sorted(log.causes()["victims"]) == [1, 1, 2]
    assert any("2 messages" in n or "3 messages" in n for n in log.notes) and german in log.report().to_html()


ITALIAN = "Processi di sincronizzazione\n\nAvviato;Terminato;Mapping tabella;Inseriti;Non riusciti\n21/11/2026 8:00;21/11/2026 8:02;CUSTOMER;1.204;3\n"
STATED = {
    "Avviato": "Start Date/Time",
    "terminato": "Finish Date/Time",
    "Mapping tabella": "Integration Table Mapping Name",
    "INSERITI": "Inserted",
    "Non riusciti": "failed",
}


def test_any_other_language_is_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "jobs.csv").write_text(ITALIAN, encoding="utf-8")
    with pytest.raises(SynckitError) as refused:
        synckit.read_job_log(tmp_path)
    for told in (
        "jobs.csv",
        "Avviato, Terminato, Mapping tabella, Inseriti, Non riusciti",
        '--column "Avviato=Start Date/Time"',
        "columns={",
    ):
        assert told in refused.value.message
    log = synckit.read_job_log(tmp_path, columns=STATED)
    assert log.jobs[["mapping", "inserted", "failed"]].values.tolist() == [["CUSTOMER", 1204, 3]]
    assert log.jobs.loc[0, "started"].to_pydatetime() == datetime(2026, 11, 21, 8)
    with pytest.raises(SynckitError, match=r'"Faled", stated for the column "Non riusciti".*Did you mean "Failed"'):
        synckit.read_job_log(tmp_path, columns={"Non riusciti": "Faled"})
    words = [w for theirs, ours in STATED.items() for w in ("--column", f"{theirs}={ours}")]
    with pytest.raises(SystemExit) as left:
        main(["read-log", str(tmp_path), *words])
    assert not left.value.code and "1,204 inserted, 0 modified, 3 failed" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["read-log", str(tmp_path), "--column", "Avviato"])
    assert left.value.code == 1 and '--column "Avviato=' in capsys.readouterr().err


def test_a_column_that_was_not_read_is_named(tmp_path: Path) -> None:
    """A zero is not shown for what nobody read, without saying so."""
    (tmp_path / "jobs.csv").write_text(
        "Start Date/Time;Integration Table Mapping Name;Inserted;Modified;Deleted;Unchanged;Skipped;Non riusciti\n2026-11-21 08:00;CUSTOMER;1;2;0;0;0;40\n",
        encoding="utf-8",
    )
    (note,) = synckit.read_job_log(tmp_path).notes
    assert (
        "no column was found for Failed" in note
        and "nothing was read from Non riusciti" in note
        and '"Non riusciti=Failed"' in note
    )
    assert int(synckit.read_job_log(tmp_path, columns={"Non riusciti": "Failed"}).jobs["failed"].sum()) == 40


def test_a_record_that_is_called_total_is_no_line_of_totals(tmp_path: Path) -> None:
    (tmp_path / "skipped.csv").write_text(
        f"Tabellenname;Beschreibung;Datensatz vorhanden;Fehlermeldung;Fehlgeschlagen am\nDebitor;Total;Ja;{MISSING};21.11.2026 08:00\n",
        encoding="utf-8",
    )
    assert synckit.read_job_log(tmp_path).skipped["local_key"].tolist() == ["Total"]


def test_no_caption_means_two_columns_of_one_list() -> None:
    """Every language's captions lead where the English one leads, in every list that has that column."""
    english_heads = {head for columns in HEADS.values() for heads in columns.values() for head in heads}
    for language, of in captions("columns").items():
        assert of.keys() <= english_heads, language
        for english, texts in of.items():
            for known in map(known_heads, HEADS):
                if folded(english) in known:
                    assert {known[folded(t)] for t in texts} == {known[folded(english)]}, (language, english)
