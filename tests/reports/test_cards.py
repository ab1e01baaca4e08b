from ptmiss.networks import registry
from ptmiss.reports import cards


def test_a_card_is_rendered_without_html_or_links_of_its_own():
    text = cards.card("# A\n\n### B\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>x</script> [y](https://evil.example)")
    assert "<h3>A</h3>" in text
    assert "<h4>B</h4>" in text  # no level is left out
    assert "<td>1</td>" in text
    assert "<script" not in text
    assert "href" not in text
    assert cards.card("") == ""


def test_values_in_braces_are_read_as_words():
    text = cards.card('* recipe: `{"epochs": 12, "puppi": true}`\n* seed: `1`\n* other: `{no JSON}`\n')
    assert "recipe: epochs 12, puppi yes" in text
    assert "<code>1</code>" in text
    assert "<code>{no JSON}</code>" in text


def test_the_card_of_a_model_of_the_package():
    text = (registry.weights_file("deepmet").parent / registry.CARD).read_text()
    card = cards.card(text.partition("\n---\n")[2])
    assert "<table>" in card
    assert "\n|" not in card
