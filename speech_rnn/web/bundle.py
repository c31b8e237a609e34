"""The page's modules as one script, since a page of several files doesn't work from ``file://``.

The modules are written for this: an import names what it takes from another module of the folder, on one line; an
export stands before a function, a class or a constant. Each becomes a function of its own scope, in the order in which
they need each other. Whatever is written otherwise is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from speech_rnn.errors import DataError

_IMPORT = re.compile(r'^import \{ (?P<names>[\w, ]+) \} from "\./(?P<module>[\w.]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let) (?P<name>\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*|\bimport\s*\(.*", re.MULTILINE)
_CORE_IMPORT = 'import { createWasmLib } from "@litertjs/wasm-utils";\n'
# What the page needs of LiteRT.js's inside: its own loader would fetch, wake the graphics card, and call news errors.
_CORE_END = """
globalThis.LITERT = {
  Tensor,
  compile: (bytes) => loadAndCompile(bytes, { accelerator: "wasm" }),
  async start(wasmBinary) {
    const liteRt = new LiteRt(await ModuleFactory({ wasmBinary, printErr: (line) => console.debug(line) }));
    setGlobalLiteRt(liteRt);
    liteRt.setDefaultEnvironment(await Environment.create({ webGpuDevice: null }));
  },
};
"""


def bundle(modules: Mapping[str, str], main: str) -> str:
    """One script that does what the module ``main`` does.

    Args:
        modules: file name -> source.
        main: file name of the module to run.

    Returns:
        JavaScript for an inline ``<script type="module">``.

    Raises:
        DataError: an import or an export of another form, of a name that isn't exported, or in a circle.
    """
    parts: list[str] = []
    exported: dict[str, list[str]] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise DataError(f"modules import each other in a circle: {' -> '.join([*above, name])}; break it")
        if name in exported:
            return
        if name not in modules:
            raise DataError(f"{above[-1]} imports {name}, and there is no such module; mend the import")
        source = modules[name]
        for found in _IMPORT.finditer(source):
            add(found["module"], (*above, name))
            for one in _names(found):
                if one not in exported[found["module"]]:
                    raise DataError(f"{name} imports {one}, and {found['module']} exports none; mend the import")
        exported[name] = [found["name"] for found in _EXPORT.finditer(source)]
        body = _IMPORT.sub(lambda found: f"const {{ {found['names']} }} = {_variable(found['module'])};", source)
        body = _EXPORT.sub("", body)
        other = _OTHER.search(body)
        if other is not None:
            raise DataError(f"{name}: {other[0]!r} is no import or export that can be bundled; see the rules above")
        if name == main:
            parts.append(body)
        else:
            gives = f"return {{ {', '.join(exported[name])} }};"
            parts.append(f"const {_variable(name)} = (() => {{\n{body}\n{gives}\n}})();\n")

    add(main, ())
    return "\n".join(parts)


def library(loader: str, core: str) -> str:
    """LiteRT.js as one classic script, which leaves what the page needs in ``LITERT``.

    Args:
        loader: the loader of its WebAssembly, as emscripten wrote it.
        core: the package's module.

    Raises:
        DataError: the module isn't of the version that this was written for.
    """
    body, imports = re.subn(re.escape(_CORE_IMPORT), "", core)
    body, exports = re.subn(r"^export \{[^}]*\};\n", "", body, flags=re.MULTILINE)
    body = re.sub(r"^//# sourceMappingURL=.*\n?", "", body, flags=re.MULTILINE)
    if (imports, exports) != (1, 1):
        raise DataError("LiteRT.js is of another form than its pinned version; run python -m speech_rnn.web.vendor")
    return f"{loader}\n(() => {{\n{body}{_CORE_END}}})();\n"


def _names(found: re.Match[str]) -> list[str]:
    return [name.strip() for name in found["names"].split(",")]


def _variable(module: str) -> str:
    return "module_" + re.sub(r"\W", "_", module.removesuffix(".js"))
