"""Transformation rules: every type by example, chains, .NET patterns, cultures, whole columns."""

from __future__ import annotations

from decimal import Decimal
from time import perf_counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from synckit.errors import SynckitError
from synckit.mapping.cultures import CULTURES, culture, parse_number, plain
from synckit.mapping.dotnet_regex import RegexRefused, substitution, translate
from synckit.mapping.transformation import RuleBook, RuleError, TableLookup, TransformationRule, default_rules


def rule(type, code="R", next="", **parameters):
    return TransformationRule(code=code, type=type, parameters=parameters, next=next)


def apply(text, type, *, semantics="synckit", **parameters):
    return RuleBook([rule(type, **parameters)], semantics=semantics).apply("R", text)


@pytest.mark.parametrize(
    ("type", "text", "expected"),
    [
        ("uppercase", 'abc123!"#_;', 'ABC123!"#_;'),
        ("uppercase", "Köln Straße", "KÖLN STRAßE"),  # one character for one
        ("uppercase", "", ""),
        ("lowercase", 'ABC123!"#_;', 'abc123!"#_;'),
        ("lowercase", "GmbH & Co. KG", "gmbh & co. kg"),
        ("lowercase", "ΟΔΟΣ", "οδοσ"),
        ("lowercase", "", ""),
        ("title_case", "john roberts", "John Roberts"),
        ("title_case", "aNNa o'brien", "Anna O'brien"),
        ("title_case", "CRONUS ltd.", "CRONUS Ltd."),
        ("title_case", "jean-luc picard", "Jean-Luc Picard"),
        ("title_case", "1st élan ijssel", "1St Élan Ijssel"),
        ("trim", " abc def ", "abc def"),
        ("trim", "   ", ""),
        ("trim", "a  b", "a  b"),
        ("trim", "\tabc ", "\tabc"),
        ("alphanumeric", "abc - 123 - def", "abc123def"),
        ("alphanumeric", 'abc!"#%&/()=?^*::_;', "abc"),
        ("alphanumeric", "(425) 555-0101", "4255550101"),
        ("alphanumeric", "Øster_Allé 1.", "ØsterAllé1"),
        ("alphanumeric", "e\u0301 x² ½ a‿b", "e\u0301xa‿b"),
        ("custom", "anything", "anything"),
        ("unixtimestamp", "0", "1970-01-01T00:00:00Z"),
        ("unixtimestamp", "1766400000", "2025-12-22T10:40:00Z"),
        ("unixtimestamp", "-1", "1969-12-31T23:59:59Z"),
        ("unixtimestamp", "1766400000.5", ""),
        ("unixtimestamp", "soon", ""),
        ("unixtimestamp", "", ""),
    ],
)
def test_types_without_parameters(type, text, expected):
    assert apply(text, type) == expected


def test_title_case_in_dutch():
    assert apply("ijsselstein", "title_case", culture="nl-NL") == "IJsselstein"


POUND = "1 British Pound = 701.37865 Comoros Franc "


@pytest.mark.parametrize(
    ("parameters", "text", "expected"),
    [
        pytest.param({"start_position": 4, "length": 3}, "EURDKK", "DKK", marks=pytest.mark.scenario("S-118")),
        pytest.param(
            {"starting_text": "(", "ending_text": ")"},
            "British Pound(GBP)/Algerian Dinar(DZD)",
            "GBP",
            marks=pytest.mark.scenario("S-119"),
        ),
        ({"starting_text": "(", "ending_text": ")"}, "(GBP)/(DZD)", "GBP"),
        ({"starting_text": "(", "ending_text": ")"}, "Algerian Dinar(DZD)", "DZD"),
        pytest.param(
            {"starting_text": "1 British Pound = ", "ending_text": "' '"}, POUND, "701.37865", marks=pytest.mark.scenario("S-120")
        ),
        ({"starting_text": "1 British Pound = ", "length": 6}, POUND, "701.37"),
        ({"start_position": 19, "ending_text": "' '"}, POUND, "701.37865"),
        pytest.param(
            {"starting_text": "1 British Pound = ", "ending_text": "Non Existing VALUE"},
            POUND,
            "",
            marks=pytest.mark.scenario("S-121"),
        ),
        ({"starting_text": "dfadsfad", "ending_text": "' '"}, POUND, ""),
        ({"start_position": 19}, POUND, "701.37865 Comoros Franc "),
        ({"ending_text": "' = '"}, POUND, "1 British Pound"),
        ({"start_position": 3, "ending_text": "("}, "(GBP)/(DZD)", "BP)/"),
        ({"ending_text": "a"}, "abc", ""),  # an end at the very start
        ({"starting_text": "'"}, "O'Brien", "Brien"),  # one character is no pair of quotes
        ({"start_position": 9}, "abc", ""),
        ({}, "abc", "abc"),
    ],
)
def test_substring(parameters, text, expected):
    assert apply(text, "substring", **parameters) == expected


@pytest.mark.parametrize(
    ("find", "replace", "text", "expected"),
    [
        ("a", "b", "abaabbaaabbbaaaabbbb", "b" * 20),
        ("abc", "", "abc123def", "123def"),
        ("Street", "St.", "Main street", "Main street"),
        ("aa", "a", "aaaa", "aa"),
    ],
)
def test_replace(find, replace, text, expected):
    assert apply(text, "replace", find_value=find, replace_value=replace) == expected


@pytest.mark.parametrize(
    ("find", "replace", "text", "expected"),
    [
        (
            r"(\p{Sc}\s?)?(\d+\.?((?<=\.)\d+)?)(?(1)|\s?\p{Sc})?",
            "$2",
            "$17.43  $2 16.33  0.98  0.43   43   12$  12$",
            "17.43  2 16.33  0.98  0.43   43   12  12",
        ),
        ("NOTPROVIDED", "", "notprovided", ""),
        (r"\s+", " ", "a   b\tc", "a b c"),
        (r"^\+?1[\s-]?", "", "+1 425 555 0101", "425 555 0101"),
        (r"(?<area>\d{3})-(\d+)", "${area}/$1/$2", "425-0101", "425/0101/425"),  # named groups are numbered last
        (r"(a)|(b)", "[$1$2$3$$$0]", "ab", "[a$3$a][b$3$b]"),  # there is no group 3
        (r"b", "<$`|$&|$'|$_>", "abc", "a<a|b|c|abc>c"),
        (r"(x)(y)", "$+", "xy", "y"),
        (r"[a-z-[aeiou]]", "", "banana split", "aaa i"),
        (r"\bcat\b", "dog", "cat concat CAT", "dog concat dog"),
        (r"(?<c>a)(?<c>b)", "${c}", "ab", "b"),  # the last capture of the name
        (r"a{,2}", "x", "a{,2}aa", "xaa"),  # plain text in .NET
        (r"\p{Lu}", "*", "aBc", "a*c"),  # a category is exact, though letters are not
        (r"[\p{Lu}x]", "*", "aBcX", "a*c*"),
        (r"[^\p{L}\d]", "", "a-1 é", "a1é"),
        (r"(?-i)abc", "x", "abcABC", "xABC"),
        (r"a(?# a comment)b", "x", "AB", "x"),
        (r"\u00e9\x41\e?\cI?\055", "x", "éa-", "x"),
        (r"(?'q'[-/])(.*?)\k'q'", "$1", "-a- /b/", "a b"),
        (r"(?(?=a)ab|c)", "x", "abc", "xx"),
        (r"(?(a)ab|c)", "x", "abc", "xx"),
        (r"\S+", "x", "a\x1fb\u3000c", "x\u3000x"),
        ("|a", ".", "ba", ".b.a."),  # .NET goes on after an empty match
        (r"(?<=a)b|^", "-", "ab ab", "-a- a-"),
        (r"x*", "-", "abxc", "-a-b--c-"),
        ("a$", "x", "a\n", "x\n"),
        (r"a\z", "x", "a\n", "a\n"),
        (r"a\Z", "x", "a\n", "x\n"),
        (r"[]\-a]", "x", "]-ab", "xxxb"),
        (r"\w", "x", "²e\u0301_", "²xxx"),  # .NET's word characters: marks yes, other numbers no
        (r"(?>a+)b", "x", "aaab", "x"),
    ],
)
def test_regex_replace(find, replace, text, expected):
    assert apply(text, "regex_replace", find_value=find, replace_value=replace) == expected


@pytest.mark.parametrize(
    ("find", "text", "plainly", "reference"),
    [
        pytest.param(r"abc(\d+)d", "abc123def", "123", "123", marks=pytest.mark.scenario("S-122")),
        pytest.param(r"\D+(?<digit>\d+)\D+(?<digit>\d+)?", "abc123def456", "123456", "123456", marks=pytest.mark.scenario("S-123")),
        (r"\D+(?<digit>\d+)\D+(?<digit>\d+)?", "abcdef", "", ""),
        (r"ABC(\d)", "abc7", "7", "7"),
        (r"a(\d)", "a1a2", "12", "1a22"),
        (r"\d+", "1 22 333", "", "22333"),
        (r"(?<n>a)(b)", "ab", "ba", "ba"),  # named after numbered
        (r"x(\d)+", "x123", "123", "123"),  # every capture of a repeated group
        (r"x(\d){2}y(z)?", "x12y", "12", "12"),
    ],
)
def test_regex_match(find, text, plainly, reference):
    assert apply(text, "regex_match", find_value=find) == plainly
    assert apply(text, "regex_match", find_value=find, semantics="reference") == reference


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(a", "a ) is missing"),
        ("a)", "a ) too many"),
        ("[a", "is not closed"),
        ("*a", "nothing stands before"),
        ("a++", "a repetition is repeated"),
        (r"\p{IsGreek}", "general category"),
        (r"\G1", "no meaning"),
        (r"\y", "no meaning"),
        ("(?<a-b>x)", "cannot be carried over"),
        ("(?)a", "cannot be carried over"),
        ("(?n)a", "only i, m and s"),
        ("a(?i)b|c", "only at the start"),
        (r"(?<=a+)b", "fixed-width"),
        (r"(a)\2", "no group 2"),
        (r"(?<a>x)(?<a>y)\k<a>", "several groups are called a"),
        (r"[a-\d]", "ends with a character"),
        ("a\\", "single \\"),
        ("(?(a)b|c|d)", "two alternatives"),
        ("(" * 100, "nested too deeply"),
    ],
)
def test_patterns_that_cannot_be_carried_over_are_refused(pattern, part):
    with pytest.raises(RegexRefused) as refused:
        translate(pattern)
    assert part in str(refused.value)
    with pytest.raises(ValidationError, match="the regular expression"):
        rule("regex_replace", find_value=pattern)


def test_captures_that_would_be_lost_are_refused():
    for pattern in (r"(?:(\d),?)+", r"((a)b)+", r"(\d)+-\1"):
        with pytest.raises(ValidationError, match="inside a repetition"):
            rule("regex_match", find_value=pattern)
    with pytest.raises(RegexRefused, match="several repeated groups"):
        substitution("${a}", translate("(?:(?<a>x)|(?<a>y))+"))


@pytest.mark.parametrize(
    ("type", "parameters", "text", "expected"),
    [
        pytest.param("date", {"data_format": "yyyyMMdd"}, "20151213", "2015-12-13", marks=pytest.mark.scenario("S-126")),
        ("datetime", {"data_format": "yyyyMMddHHmmss"}, "20151213030405", "2015-12-13T03:04:05Z"),
        ("date", {"data_format": "yyyyMMddHHmm"}, "202001202359", "2020-01-20"),
        ("date", {"culture": "en-US"}, "2026/08/22", "2026-08-22"),
        ("date", {"data_format": "yyyyMMddHHmmss"}, "wrong date time", "wrong date time"),
        ("date", {"culture": "en-US"}, "8/9/2026", "2026-08-09"),
        ("date", {"culture": "en-US", "data_format": "dd.MM.yyyy"}, "8/9/2026", "2026-08-09"),  # a culture wins
        ("date", {"culture": "en-GB"}, "8/9/2026", "2026-09-08"),
        ("date", {"culture": "de-DE"}, "08.09.26", "2026-09-08"),
        ("date", {"culture": "de-DE"}, "3. März 2026", "2026-03-03"),
        ("date", {"culture": "da-DK"}, "22-08-2026 13:14", "2026-08-22"),
        ("date", {"culture": "fr-FR"}, "1 août 2026", "2026-08-01"),
        ("date", {"culture": "es-ES"}, "5 de enero de 2026", "2026-01-05"),
        ("date", {"culture": "it-IT"}, "5 gen 2026", "2026-01-05"),
        ("date", {"culture": "nl-NL"}, "5-1-2026", "2026-01-05"),
        ("date", {"culture": "sv-SE"}, "2026-01-05", "2026-01-05"),
        ("date", {"culture": "nb-NO"}, "5.1.2026", "2026-01-05"),
        ("date", {"culture": "en-US"}, "August 22, 2026", "2026-08-22"),
        ("date", {"culture": "en-US"}, "Ju 1, 2026", "Ju 1, 2026"),  # June or July
        ("date", {"culture": "en-US"}, "8/22", "8/22"),  # without a year it would depend on today
        ("date", {"culture": "en-US"}, "13/1/2026", "13/1/2026"),
        ("date", {"data_format": "d MMM yy"}, "5 Jan 49", "2049-01-05"),
        ("date", {"data_format": "dd'. of 'MMMM yyyy"}, "05. of January 1950", "1950-01-05"),
        ("date", {"data_format": "d"}, "08/22/2026", "2026-08-22"),  # a standard format
        ("date", {"data_format": "yyyyMMdd"}, "20150230", "20150230"),
        ("date", {"data_format": "yyyyMMdd"}, " 20151213", " 20151213"),
        ("datetime", {"data_format": "yyyyMMddHHmmss"}, "20200120235959", "2020-01-20T23:59:59Z"),
        ("datetime", {"culture": "en-US"}, "08/22/2026 1:14:15 PM", "2026-08-22T13:14:15Z"),
        ("datetime", {"culture": "en-US"}, "08/22/2026 12:00 am", "2026-08-22T00:00:00Z"),
        ("datetime", {"data_format": "yyyyMMddHHmmss"}, "wrong date time", "wrong date time"),
        ("datetime", {"data_format": "yyyy-MM-ddTHH:mm:sszzz"}, "2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"),
        ("datetime", {"data_format": "yyyyMMdd hh:mm tt"}, "20260822 01:05 PM", "2026-08-22T13:05:00Z"),
        ("datetime", {"culture": "de-DE"}, "0001-01-01T00:00:00+02:00", "0001-01-01T00:00:00+02:00"),
    ],
)
def test_dates(type, parameters, text, expected):
    assert apply(text, type, **parameters) == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("da-DK", "1.234,56", "1234.56"),
        ("en-US", "$1,234.50", "1234.5"),
        ("en-US", "(12.5)", "-12.5"),
        ("da-DK", "n/a", "0"),
        ("", "1,234.5", "1234.5"),
        ("en-US", "1.234,56", "0"),  # no thousands separator behind the point
        ("en-GB", "£ 10", "10"),
        ("de-DE", "-1.234,50 €", "-1234.5"),
        ("fr-FR", "1\u202f234,5 €", "1234.5"),
        ("sv-SE", "1 234,5 kr", "1234.5"),
        ("nb-NO", "\u22125", "-5"),
        ("da-DK", "12,00- kr.", "-12"),
        ("en-US", ".5", "0.5"),
        ("en-US", "-0.00", "0"),
        ("en-US", "--5", "0"),
        ("en-US", "(-5)", "0"),
        ("en-US", "1e5", "0"),
        ("en-US", ".", "0"),
        ("en-US", "", "0"),
        ("en-US", "9" * 40, "0"),
    ],
)
def test_decimals(name, text, expected):
    assert apply(text, "decimal", culture=name) == expected


@given(st.decimals(-(10**9), 10**9, places=3), st.sampled_from(sorted(CULTURES)))
def test_a_number_written_in_a_culture_is_read_back(number, name):
    of = culture(name)
    written = f"{number:,.3f}".translate({ord(","): of.thousands[0], ord("."): of.decimal})
    assert parse_number(written, of) == number
    assert Decimal(plain(number)) == number


@pytest.mark.parametrize(
    ("precision", "direction", "text", "expected"),
    [
        ("0.00001", "=", "12.3456789", "12.34568"),
        ("100", "=", "1234.56789", "1200"),
        ("0.001", ">", "-1234.56789", "-1234.568"),
        ("0.001", "<", "-1234.56789", "-1234.567"),
        ("1", "=", "-2.5", "-3"),  # halves away from zero
        ("0.05", ">", "1.01", "1.05"),
        ("5", "<", "4.99", "0"),
    ],
)
def test_round(precision, direction, text, expected):
    assert apply(text, "round", precision=precision, direction=direction) == expected


@pytest.mark.parametrize("text", ["abc", "", "1,5", "1e3"])
def test_round_fails_the_record_where_the_text_is_no_number(text):
    with pytest.raises(RuleError, match=r"Transformation rule R: .* is not a number"):
        apply(text, "round", precision=1, direction="=")


def test_extract_from_date():
    assert [apply("2026-08-22", "extract_from_date", extract=part) for part in ("day", "month", "year")] == ["22", "8", "2026"]
    assert apply("2026-08-22T10:00:00Z", "extract_from_date", extract="day") == "22"
    for text in ("abc", "", "2026-02-30", "22.08.2026"):
        with pytest.raises(RuleError, match="is not a date"):
            apply(text, "extract_from_date", extract="day")


def test_unixtimestamp_beyond_the_calendar_fails_the_record():
    with pytest.raises(RuleError, match="beyond the calendar"):
        apply("999999999999999", "unixtimestamp")


def test_custom_code():
    book = RuleBook([rule("custom", code="NAMES")], custom={"names": {"EUR": "Euro", "": ""}.__getitem__})
    assert (book.apply("NAMES", "EUR"), book.apply("NAMES", "")) == ("Euro", "")
    with pytest.raises(RuleError, match="the custom code failed"):
        book.apply("NAMES", "DKK")


COUNTRIES = pa.table(
    {"Code": ["DE", "DE", "EL", "DK"], "Name": ["Germany", "Second", "Greece", "Germany"], "ISO Code": ["DE", "X", None, "DK"]}
)


@pytest.mark.parametrize(
    ("source", "target", "how", "text", "expected"),
    [
        ("Code", "Name", "target", "DE", "Germany"),  # the first row counts
        ("Name", "Code", "target", "Germany", "DE"),
        ("Code", "Name", "target", "XX", ""),
        ("Code", "ISO Code", "original_if_target_is_blank", "EL", "EL"),
        ("Code", "ISO Code", "original_if_target_is_blank", "XX", ""),
        ("Code", "ISO Code", "target", "EL", ""),
    ],
)
def test_field_lookup(source, target, how, text, expected):
    lookup = rule("field_lookup", table="country", source_field=source, target_field=target, field_lookup_rule=how)
    assert RuleBook([lookup], lookup=TableLookup({"Country": COUNTRIES})).apply("R", text) == expected


def test_field_lookup_without_its_table_fails_the_record():
    lookup = rule("field_lookup", table="country", source_field="Code", target_field="Name")
    for handed_in in (None, TableLookup({})):
        with pytest.raises(RuleError, match="country"):
            RuleBook([lookup], lookup=handed_in).apply("R", "DE")


@pytest.mark.scenario("S-124")
def test_chains():
    first = rule("alphanumeric", code="one", next="two")
    second = rule("replace", code="TWO", find_value="abc", next="MISSING")  # a missing next is ignored
    assert RuleBook([first, second]).apply("One", "abc - 123 - def") == "123def"
    with pytest.raises(SynckitError, match="A -> B -> A run in a circle"):
        RuleBook([rule("trim", code="A", next="B"), rule("trim", code="B", next="A")])
    with pytest.raises(SynckitError, match="A -> A run in a circle"):
        RuleBook([rule("trim", code="A", next="A")])
    with pytest.raises(SynckitError, match="two transformation rules A"):
        RuleBook([rule("trim", code="A"), rule("trim", code="a")])


@pytest.mark.scenario("S-125")
def test_s125_only_letters_and_digits_remain():
    text = "abcdefghijklmnopqrstuvwxyz1234567890"
    assert RuleBook().apply("ALPHANUMERIC_ONLY", text + '!"#%&/()=?`^*::_;') == text


@pytest.mark.scenario("S-127")
@pytest.mark.parametrize("type", ["replace", "regex_replace", "regex_match"])
def test_s127_rules_that_need_a_search_text(type):
    with pytest.raises(ValidationError, match="the search text is missing"):
        rule(type)
    existing = rule(type, find_value="x")
    with pytest.raises(ValidationError, match="the search text is missing"):
        existing.changed(find_value="")


def test_changing_a_rule_clears_what_no_longer_fits():
    cut = rule("substring", start_position=4, length=3)
    assert cut.changed(starting_text="(").parameters.start_position == 0
    assert cut.changed(ending_text=")").parameters.length == 0
    assert cut.changed(starting_text="(").changed(start_position=2).parameters.starting_text == ""
    assert cut.changed(type="trim").parameters.length == 0
    with pytest.raises(ValidationError, match="search text"):
        rule("replace", find_value="x").changed(type="regex_replace")


@pytest.mark.parametrize(
    ("type", "parameters", "part"),
    [
        ("round", {"precision": 0, "direction": "="}, "precision greater than 0"),
        ("round", {"precision": 1}, "a direction"),
        ("extract_from_date", {}, "day, month or year"),
        ("field_lookup", {"table": "t", "source_field": "a"}, "target_field is missing"),
        ("field_lookup", {"table": "t", "source_field": "a", "target_field": "A"}, "must differ"),
        ("date", {}, "data_format such as"),
        ("date", {"culture": "tr-TR"}, 'The culture "tr-TR" is not supported; write one of en-US, en-GB, de-DE'),
        ("decimal", {"culture": "xx"}, "is not supported"),
        ("date", {"data_format": "HH:mm"}, "needs a year"),
        ("date", {"data_format": "q"}, "is not read"),
        ("date", {"data_format": "yyyyMMdd hh:mm"}, "tt beside h"),
        ("trim", {"find_value": "x"}, "no parameter find_value"),
        ("substring", {"start_position": 1, "starting_text": "x"}, "not both"),
        ("trim", {"unknown": 1}, "Extra inputs"),
        ("shout", {}, "type"),
        ("replace", {"find_value": "x" * 251}, "at most 250"),
    ],
)
def test_parameters_are_checked_when_a_rule_is_made(type, parameters, part):
    with pytest.raises(ValueError, match=part):
        rule(type, **parameters)


def test_default_rules():
    assert [r.code for r in default_rules()] == [
        *("UPPERCASE", "LOWERCASE", "TITLECASE", "TRIM", "FOURTH_TO_SIXTH_CHAR", "YYYYMMDD_DATE", "YYYYMMDDHHMMSS_FMT"),
        *("ALPHANUMERIC_ONLY", "DK_DECIMAL_FORMAT", "US_DATE_FORMAT", "US_DATETIME_FORMAT", "UNIXTIMESTAMP", "DELETE_NOTPROVIDED"),
    ]
    book = RuleBook()
    assert book.apply("FOURTH_TO_SIXTH_CHAR", "EURDKK") == "DKK"
    assert book.apply("DELETE_NOTPROVIDED", "NotProvided") == ""
    assert RuleBook([rule("lowercase", code="UPPERCASE")]).apply("UPPERCASE", "A") == "a"  # a rule of one's own replaces one
    with pytest.raises(SynckitError, match=r'no transformation rule "UPERCASE"\. Did you mean "UPPERCASE"'):
        book.apply("UPERCASE", "a")


def test_whole_columns_treat_each_value_once():
    calls = []

    def name(text):
        calls.append(text)
        return {"EUR": "Euro", "": ""}[text]

    book = RuleBook([rule("custom", code="N")], custom={"N": name})
    values, wrong = book.apply_array("N", pa.array(["EUR", None, "DKK", "EUR", "", "DKK"]))
    assert values.to_pylist() == ["Euro", None, None, "Euro", "", None]
    assert sorted(wrong) == [2, 5] and wrong[2].startswith("Transformation rule N: the custom code failed")
    assert sorted(calls) == ["", "", "DKK", "EUR"]
    values, wrong = RuleBook().apply_array("DK_DECIMAL_FORMAT", pa.chunked_array([["1,5"], [None]]))
    assert (values.to_pylist(), wrong) == (["1.5", "0"], {})  # null is blank, and blank is no number
    values, wrong = RuleBook().apply_array("TRIM", pa.array([], pa.string()))
    assert (values.to_pylist(), wrong) == ([], {})


def test_rules_that_change_their_own_output():
    book = RuleBook(
        [
            rule("lowercase", code="A", next="TRIM"),
            rule("title_case", code="B", next="ALPHANUMERIC_ONLY"),
            rule("replace", code="C", find_value="a", replace_value="aa"),
            rule("round", code="D", precision=5, direction=">"),
        ]
    )
    changing = {code for code in book.codes if book.changes_its_own_output(code)}
    assert {"A", "D", "UPPERCASE", "LOWERCASE", "TITLECASE", "TRIM", "ALPHANUMERIC_ONLY"} == set(book.codes) - changing
    assert {"B", "C", "FOURTH_TO_SIXTH_CHAR", "DK_DECIMAL_FORMAT"} <= changing


DEFAULT_BOOK = RuleBook()


@given(st.text(max_size=12), st.sampled_from(["UPPERCASE", "LOWERCASE", "TITLECASE", "TRIM", "ALPHANUMERIC_ONLY"]))
def test_rules_taken_for_idempotent_are(text, code):
    once = DEFAULT_BOOK.apply(code, text)
    assert DEFAULT_BOOK.apply(code, once) == once


def test_a_long_column_of_few_values_is_fast():
    column = pa.array(["Main street 1", None, "x", "y"] * 100_000)
    started = perf_counter()
    values, wrong = DEFAULT_BOOK.apply_array("UPPERCASE", column)
    assert (values[0].as_py(), len(values), wrong) == ("MAIN STREET 1", 400_000, {})
    assert perf_counter() - started < 2
