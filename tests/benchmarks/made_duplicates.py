"""Makes lists with known duplicates from a seed: companies and persons with legal forms, renamings, typing errors and moved addresses."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pyarrow as pa

from synckit.planning.duplicates import FieldPair


def _words(text: str) -> list[str]:
    return text.split()


GIVEN = _words(
    "Anna Bernd Chiara David Eva Fatima Georg Hanna Ivan Julia Karl Lena Marc Nora Otto Paula Raúl Søren Tina Uwe Vera Yusuf Zoë"
)
PLACES = _words("Lüdersen Nygård Peñalba Monteverde Kings-Yard Grzedow Saint-Aurèle Hafenstadt Oberwies Marlowe Eastbrook Tarn")
ROADS = _words("Market High Station Church Mill Park Queen River Garden Bridge Harbour Castle Meadow Orchard Victoria")
TRADES = _words("Tools Foods Logistics Textiles Furniture Software Metals Paper Glass Optics Travel Energy Print Pumps Bikes")
FORMS = ("GmbH", "Ltd", "Ltd.", "Inc.", "S.A.", "S.L.", "B.V.", "AG", "Limited", "ApS", "Sp. z o.o.", "")
SYLLABLES = _words(
    "ba be bo da de do fa fi fo ga go ha he ka ke ko la le lo ma me mo na ne no pa pe ra re ro sa se so ta te to va ve wi za"
)


@dataclass(frozen=True)
class MadeSet:
    """Two lists (b None: one), the fields to compare, and the keys of the pairs that are the same thing."""

    name: str
    a: pa.Table
    b: pa.Table | None
    fields: list[FieldPair]
    truth: set[tuple[str, str]]


def _word(draw: random.Random, least: int = 2, most: int = 4) -> str:
    return "".join(draw.choices(SYLLABLES, k=draw.randint(least, most))).capitalize()


def _often(draw: random.Random, values: list[str]) -> str:
    """The first values far more often than the last ones."""
    return values[min(int(draw.paretovariate(0.7)) - 1, len(values) - 1)]


def _slip(draw: random.Random, text: str) -> str:
    """One typing error: a sign left out, doubled, changed, or two swapped."""
    if len(text) < 4:
        return text
    at = draw.randrange(1, len(text) - 1)
    kind = draw.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + draw.choice("aeinrst") + text[at + 1 :]
    return text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]


def company(draw: random.Random) -> dict[str, str | None]:
    name = f"{_word(draw, 4, 6)} {draw.choice(TRADES)}"
    domain = name.split()[0].lower() + draw.choice([".com", ".de", ".eu"])
    return {
        "name": f"{name} {draw.choice(FORMS)}".strip(),
        "contact": f"{_often(draw, GIVEN)} {_word(draw)}",
        "email": draw.choice(["info@", "sales@", "office@"]) + domain,
        "phone": f"+49 {draw.randint(30, 999)} {draw.randint(100000, 9999999)}",
        "home_page": f"https://www.{domain}/",
        "address": f"{_often(draw, ROADS)} Street {draw.randint(1, 250)}",
        "city": _often(draw, PLACES),
        "post_code": str(draw.randint(10000, 99999)),
        "vat_no": f"DE{draw.randint(10**8, 10**9 - 1)}" if draw.random() < 0.7 else None,
    }


def company_again(draw: random.Random, row: dict[str, str | None]) -> dict[str, str | None]:
    """The same company as another system has it."""
    again = dict(row)
    name = str(row["name"])
    words = name.split()
    chance = draw.random()
    if chance < 0.25:
        again["name"] = " ".join(words[:2])
    elif chance < 0.4:
        again["name"] = f"{words[1]} {words[0]} {draw.choice(FORMS)}".strip()
    elif chance < 0.5:
        again["name"] = f"{_word(draw)} {words[1]}"  # renamed
    elif chance < 0.75:
        again["name"] = _slip(draw, name).upper()
    if draw.random() < 0.3:
        again["contact"] = f"{_often(draw, GIVEN)} {_word(draw)}"
    if draw.random() < 0.35:
        again["phone"] = "0" + str(row["phone"])[4:].replace(" ", "/") + (" ext. 12" if draw.random() < 0.3 else "")
    if draw.random() < 0.2:  # moved
        again |= {"address": f"{_often(draw, ROADS)} Street {draw.randint(1, 250)}", "post_code": str(draw.randint(10000, 99999))}
    elif draw.random() < 0.4:
        again["address"] = str(row["address"]).replace("Street", "St.")
    if draw.random() < 0.3:
        again["home_page"] = str(row["home_page"]).removeprefix("https://www.").rstrip("/")
    return {name: None if draw.random() < 0.12 and name != "name" else value for name, value in again.items()}


def person(draw: random.Random) -> dict[str, str | None]:
    given, surname = _often(draw, GIVEN), _word(draw, 2, 3)
    return {
        "first_name": given,
        "last_name": surname,
        "birth_date": f"{draw.randint(1940, 2005)}-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}",
        "e_mail": f"{given}.{surname}{draw.randint(1, 999)}@{draw.choice(['mail', 'post', 'web'])}.example".lower(),
        "mobile": f"01{draw.randint(50, 79)} {draw.randint(1000000, 99999999)}",
        "street": f"{_often(draw, ROADS)} Road {draw.randint(1, 200)}",
        "city": _often(draw, PLACES),
    }


def person_again(draw: random.Random, row: dict[str, str | None]) -> dict[str, str | None]:
    """The same person as another system has them."""
    again = dict(row)
    if draw.random() < 0.08:
        again["first_name"], again["last_name"] = row["last_name"], row["first_name"]
    elif draw.random() < 0.1:
        again["last_name"] = _word(draw, 2, 3)  # married
    if draw.random() < 0.2:
        again |= {"street": f"{_often(draw, ROADS)} Road {draw.randint(1, 200)}", "city": _often(draw, PLACES)}
    for name in ("first_name", "last_name", "street", "e_mail", "birth_date"):
        if draw.random() < 0.12:
            again[name] = _slip(draw, str(again[name]))
    return {name: None if draw.random() < 0.15 else value for name, value in again.items()}


def _table(rows: list[dict[str, str | None]], prefix: str) -> pa.Table:
    columns = list(rows[0])
    keys = pa.array([f"{prefix}{i}" for i in range(len(rows))])
    return pa.table({"key": keys, **{name: pa.array([row[name] for row in rows], pa.string()) for name in columns}})


def made_link(size: int, seed: int = 1, kind: str = "company", shared: float = 0.7) -> MadeSet:
    """Two lists of `size` rows each, of which the share `shared` is in both."""
    draw = random.Random(seed)
    make, again = (company, company_again) if kind == "company" else (person, person_again)
    rows = [make(draw) for _ in range(size)]
    both = int(size * shared)
    other = [again(draw, row) for row in rows[:both]] + [make(draw) for _ in range(size - both)]
    order = list(range(size))
    draw.shuffle(order)
    truth = {(f"A{i}", f"B{at}") for at, i in enumerate(order) if i < both}
    fields = [FieldPair(name, name, name) for name in rows[0]]
    return MadeSet(f"made {kind} link", _table(rows, "A"), _table([other[i] for i in order], "B"), fields, truth)


def made_list(size: int, seed: int = 1, kind: str = "person") -> MadeSet:
    """One list of about `size` rows in which things stand once to four times."""
    draw = random.Random(seed)
    make, again = (company, company_again) if kind == "company" else (person, person_again)
    rows: list[tuple[int, dict[str, str | None]]] = []
    thing = 0
    while len(rows) < size:
        row = make(draw)
        rows += [(thing, row)] + [(thing, again(draw, row)) for _ in range(draw.choice((0, 0, 0, 1, 1, 2, 3)))]
        thing += 1
    draw.shuffle(rows)
    of_thing: dict[int, list[str]] = {}
    for at, (number, _) in enumerate(rows):
        of_thing.setdefault(number, []).append(f"A{at}")
    truth = {(x, y) for keys in of_thing.values() for i, x in enumerate(keys) for y in keys[i + 1 :]}
    fields = [FieldPair(name, name, name) for name in rows[0][1]]
    return MadeSet(f"made {kind} list", _table([row for _, row in rows], "A"), None, fields, truth)
