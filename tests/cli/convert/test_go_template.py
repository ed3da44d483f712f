"""Go templates of a body -> ours. Expectations are what json_exporter 0.7.0 sent, with its time as `{now}`."""

from __future__ import annotations

import pytest

from lambda_remote_write_cli.convert.go_template import translated
from lambda_remote_write_cli.convert.jsonpath import Untranslatable

PARAMETERS = {"mine": ("A b", "B"), "empty": ("",)}


def parameter(name: str) -> tuple[str, ...]:
    return PARAMETERS.get(name, ())


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no action", "no action"),
        ("{{ .mine | first }}", "A b"),
        ("{{.mine|first}}", "A b"),
        ("{{ first .mine }}", "A b"),
        ("{{ last .mine }}", "B"),
        ("{{ index .mine 1 }}", "B"),
        ("{{ .mine }}", "[A b B]"),
        ('{{ .mine | join "-" }}', "A b-B"),
        ("{{ .none }}", "[]"),
        ('{{ .none | first | default "d" }}', "d"),
        ('{{ .empty | first | default "d" }}', "d"),
        ('{{ default "d" (first .mine) }}', "A b"),
        ("{{ .mine | first | upper | quote }}", '"A B"'),
        ("{{ (first .mine) | lower }}", "a b"),
        ("{{ .mine | toJson }}", '["A b","B"]'),
        ('{{ "q\\"x" }}', 'q"x'),
        ('{{ `raw "x"` }}', 'raw "x"'),
        ('{{ trim " a " }}', "a"),
        ("{{ 5 }}", "5"),
        ("{{ duration `95` }}", "1m35s"),
        ('{{ duration "3600" }}', "1h0m0s"),
        ("{{ duration 95 }}", "0s"),
        ('a {{- " b " -}} c', "a b c"),
        ("a{{/* b */}}c", "ac"),
        ("a } b {{ .mine | first }} { }}", "a } b A b { }}"),
    ],
)
def test_what_is_known_becomes_text(template: str, text: str) -> None:
    found = translated(template, parameter)
    assert (found.text, found.format, found.variables) == (text, "", [])


@pytest.mark.parametrize(
    ("template", "text", "written", "zone"),
    [
        ('{{ now | date "2006-01-02" }}', "{now}", "%Y-%m-%d", ""),
        ("{{ now | htmlDate }}", "{now}", "%Y-%m-%d", ""),
        ('{{ now.Format "20060102150405" }}', "{now}", "%Y%m%d%H%M%S", ""),
        ('{{ now.UTC.Format "2006-01-02T15:04:05Z07:00" }}', "{now}", "%Y-%m-%dT%H:%M:%SZ", "UTC"),
        ('{{ now | date "2006-01-02T15:04:05.000Z" }}', "{now}", "rfc3339", ""),
        ('{{ now | date "Mon, 02 Jan 2006 15:04:05 MST" }}', "{now}", "%a, %d %b %Y %H:%M:%S UTC", ""),
        ('{{ now | date "2006-01-02 00:00 %" }}', "{now}", "%Y-%m-%d 00:00 %%", ""),
        ('{{ dateInZone "03:04 PM -0700 06" now "Europe/Berlin" }}', "{now}", "%I:%M %p %z %y", "Europe/Berlin"),
        ("{{ now | unixEpoch }}", "{now}", "unix", "UTC"),
        ("{{ now.UnixMilli }}", "{now}", "unix_ms", "UTC"),
        ('{{ (now | date_modify "-1h30m").Unix }}', "{now-1h30m}", "unix", "UTC"),
        ('{{ now | dateModify "-90s" | unixEpoch }}', "{now-1m30s}", "unix", "UTC"),
        ('{{ now | dateModify "-1h" | dateModify "-60m" | unixEpoch }}', "{now-2h}", "unix", "UTC"),
        ('[{{ now | date_modify "-24h" | unixEpoch }}, {{ now.Unix }}]', "[{now-24h}, {now}]", "unix", "UTC"),
        ('{{ now | date "2006" | quote }}', '"{now}"', "%Y", ""),
    ],
)
def test_times_become_ours(template: str, text: str, written: str, zone: str) -> None:
    found = translated(template, parameter)
    assert (found.text, found.format, found.zone) == (text, written, zone)


def test_an_environment_variable_becomes_a_reference() -> None:
    found = translated('{"key": "{{ env "API_KEY" }}"}', parameter)
    assert (found.text, found.variables) == ('{"key": "{ref.API_KEY}"}', ["API_KEY"])


@pytest.mark.parametrize(
    ("template", "detail"),
    [
        ("{{ if .mine }}a{{ end }}", "{{ if .mine }} has no counterpart: if"),
        ("{{ range .mine }}{{ . }}{{ end }}", "{{ range .mine }} has no counterpart: range"),
        ("{{ $x := 1 }}", "'$' is not read"),
        ("{{ nosuch }}", "{{ nosuch }} has no counterpart: nosuch"),
        ("{{ .none | first }}", "it has no value"),
        ("{{ now }}", "it is no text"),
        ("{{ .mine.part }}", "part"),
        ("{{ index .mine 2 }}", "{{ index .mine 2 }} has no counterpart"),
        ("{{ first }}", "{{ first }} has no counterpart"),
        ("{{ .mine | first", "is never closed"),
        ("{{ (first .mine }}", "a bracket that is never closed"),
        ("{{ first .mine ) }}", "')' is not expected"),
        ("{{ }}", "{{  }} has no counterpart"),
        ('{{ now | dateModify "1h" | unixEpoch }}', "'1h' is no time before now"),
        ('{{ now | dateModify "-1.5h" | unixEpoch }}', "'-1.5h' is no time before now"),
        ('{{ now | date "Jan 2 2006" }}', "'2' of the layout 'Jan 2 2006'"),
        ('{{ now | date "2006 100%" }}', "'100' of the layout '2006 100%'"),
        ('{{ now | date "2006 MST" | upper }}', "it is no constant text"),
        ('{{ dateInZone "2006 MST" now "Europe/Berlin" }}', "'MST' of the layout"),
        ('{{ now.Unix }}{{ now | date "2006" }}', "all times of a body have one format here"),
        ("{{ .mine | quote }}", "it is no text"),
    ],
)
def test_what_has_no_counterpart_is_named(template: str, detail: str) -> None:
    with pytest.raises(Untranslatable) as raised:
        translated(template, parameter)
    assert detail in str(raised.value)
