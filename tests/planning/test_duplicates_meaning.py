"""What fields mean and how their values are brought to a normal form and compared."""

from __future__ import annotations

import pytest

from synckit.planning.duplicates import infer_meaning
from synckit.planning.duplicates.normalise import FORM_OF

PHONES = ["+49 30 1234567", "030/1234568", "(212) 371-8844"]


@pytest.mark.parametrize(
    ("name", "values", "meaning"),
    [
        ("E-Mail", ["a@b.de", "info@x.com"], "email"),
        ("col7", ["a@b.de", "info@x.com"], "email"),
        ("email", ["20121231", "20130102"], "date"),  # a name that the content contradicts
        ("Phone No.", PHONES, "phone"),
        ("Home Page", ["www.acme.com", "http://x.de/"], "web"),
        ("zip", ["60612", "60613"], "post code"),
        ("FirstName", ["Anna", "Bo"], "given name"),
        ("surname", ["Smith"], "surname"),
        ("Name", ["Acme Ltd", "Beta GmbH"], "company"),
        ("Contact", ["Anna Smith"], "person"),
        ("Address", ["12 High Street"], "street"),
        ("VAT Registration No.", ["DE123456789"], "registration"),
        ("Credit Limit", ["1000.00", "250.50"], "number"),
        ("dob", ["1990-01-31", "31.01.1990"], "date"),
        ("remark", ["calls on Mondays"], "text"),
        ("remark", ["12 calls, " + "all of them on Mondays, " * 50], "text"),  # long: no street
        ("remark", ["no digit in it " * 6_000] * 200, "text"),  # a step for every pair of its characters would take hours
    ],
)
def test_meaning_is_inferred(name, values, meaning):
    assert infer_meaning(name, values) == meaning


@pytest.mark.parametrize(
    ("meaning", "one", "other"),
    [
        ("company", "Müller GmbH & Co. KG", "MUELLER"),
        ("company", "Hurtownia Łódzka Sp. z o.o.", "hurtownia lodzka"),
        ("company", "Acme S.A.", "Acme, Inc."),
        ("person", "Dr. Smith, Anna", "anna smith"),
        ("person", "Ёлкина Анна", "Elkina Anna"),
        ("street", "51st St.", "51 Street"),
        ("street", "Hauptstr. 5", "Hauptstraße 5"),
        ("phone", "+49 (0)30 1234567", "0049301234567"),
        ("phone", "212-371-8844 ext. 12", "(212) 371 8844"),
        ("email", "Anna Smith <Anna.Smith+news@Example.com>", "mailto:anna.smith@example.com"),
        ("web", "https://www.acme.com/", "acme.com"),
        ("registration", "DE 123.456.789", "de123456789"),
        ("code", "000123", "123"),
        ("date", "1990-01-31", "31.01.1990"),
        ("date", "12/31/1990", "19901231"),
        ("number", "1.234,50 €", "1234.5"),
    ],
)
def test_spelling_habits_do_not_matter(meaning, one, other):
    assert FORM_OF[meaning](one) == FORM_OF[meaning](other)


def test_a_name_that_is_only_a_legal_form_stays():
    assert FORM_OF["company"]("AG") == "ag"
