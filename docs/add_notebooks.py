"""Put the executed notebooks into the built site as pages, linked from its table: a part of `make docs`."""

import re
from pathlib import Path

from nbconvert.exporters import HTMLExporter

ROOT = Path(__file__).parents[1]
EXECUTED, SITE = ROOT / "executed", ROOT / "executed" / "site"
FROM_ELSEWHERE = r'<script src="https://[^>]*>\s*</script>'


def add(executed: Path = EXECUTED, site: Path = SITE) -> list[str]:
    """Convert each notebook of a folder into the site; returns their names. The pages load nothing."""
    exporter, index, names = HTMLExporter(), site / "notebooks.html", []
    table = index.read_text(encoding="utf-8")
    for path in sorted(executed.glob("[0-9]*.ipynb")):
        page, _ = exporter.from_filename(str(path))
        (site / "notebooks").mkdir(exist_ok=True)
        page = re.sub(FROM_ELSEWHERE, "", page)
        (site / "notebooks" / f"{path.stem}.html").write_text(page, encoding="utf-8")
        link = f'<td><a href="notebooks/{path.stem}.html">{path.stem}</a></td>'
        table = table.replace(f"<td>{path.stem}</td>", link)
        names.append(path.stem)
    index.write_text(table, encoding="utf-8")
    return names


if __name__ == "__main__":
    added = ", ".join(add()) or "none: make demo executes them"
    print(f"Executed notebooks in the site: {added}.")
