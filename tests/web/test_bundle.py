from __future__ import annotations

import pytest

from speech_rnn.errors import DataError
from speech_rnn.web.bundle import bundle, library
from tests.browser import browser, needs_chromium

MODULES = {
    "main.js": 'import { double, Counter } from "./numbers.js";\nimport { half } from "./halves.js";\n'
    "const secret = new Counter().next();\nglobalThis.result = [double(4), half(4), secret];\n",
    "numbers.js": "const secret = 2;\nexport const double = (n) => n * secret;\n"
    "export class Counter {\n  next() { return 1; }\n}\n",
    "halves.js": 'import { double } from "./numbers.js";\nconst secret = 0.25;\n'
    "export function half(n) {\n  return double(n) * secret;\n}\n",
}


@needs_chromium
def test_modules_become_one_script_in_which_the_names_of_one_are_not_those_of_another() -> None:
    script = bundle(MODULES, "main.js")

    with browser() as chromium:
        page = chromium.new_page()
        page.add_script_tag(content=script, type="module")
        page.wait_for_function("globalThis.result")  # modules run later than they are added
        assert page.evaluate("globalThis.result") == [8, 2, 1]
        assert page.evaluate("typeof secret") == "undefined"


def test_each_module_stands_once_before_those_that_need_it() -> None:
    script = bundle(MODULES, "main.js")

    assert script.count("class Counter") == 1
    assert script.index("class Counter") < script.index("function half") < script.index("globalThis.result")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ('import x from "./numbers.js";\n', "no import or export that can be bundled"),
        ('import { fs } from "node:fs";\n', "no import or export that can be bundled"),
        ('const x = await import("./numbers.js");\n', "no import or export that can be bundled"),
        ("export default 3;\n", "no import or export that can be bundled"),
        ('import { triple } from "./numbers.js";\n', "numbers.js exports none"),
        ('import { double } from "./nowhere.js";\n', "no such module"),
        ('import { main } from "./main.js";\n', "in a circle"),
    ],
)
def test_whatever_cannot_be_bundled_is_refused(source: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        bundle({**MODULES, "main.js": source}, "main.js")


def test_a_library_of_another_form_is_refused() -> None:
    with pytest.raises(DataError, match=r"of another form .* speech_rnn.web.vendor"):
        library("", 'import { createWasmLib } from "elsewhere";\nexport {\n  Tensor\n};\n')
