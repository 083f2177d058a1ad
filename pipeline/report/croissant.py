"""The datasheet as Croissant 1.1 with its RAI terms and PROV-O, JSON-LD that a program reads.

`mlcroissant` validates it, and reads the records of a release: of Parquet, which it knows, not of Arrow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from pipeline.core.manifest import FileDigest, Manifest
from pipeline.core.schema import DOCUMENT
from pipeline.report.answers import Answers
from pipeline.report.fields import Datasheet
from pipeline.report.funnel import funnel
from pipeline.report.licences import spdx

_FORMATS = {".parquet": "application/x-parquet", ".arrow": "application/vnd.apache.arrow.file"}

_TERMS = re.findall(
    r"\w+",
    """
    citeAs column data dataType examples extract field fileProperty fileObject fileSet format includes isLiveDataset
    jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source
    subField transform
    """,
)

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "conformsTo": "dct:conformsTo",
    "equivalentProperty": "cr:equivalentProperty",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}

_RAI = {
    "rai:dataCollection": "collection",
    "rai:dataUseCases": "intended_uses",
    "rai:dataLimitations": "limitations",
    "rai:personalSensitiveInformation": "sensitive_content",
    "rai:dataReleaseMaintenancePlan": "maintenance",
}


def croissant(sheet: Datasheet, manifest: Manifest, answers: Answers) -> str:
    """The JSON-LD; what nobody has said is left out, for the format has no word for it."""
    home = answers.text("url") or ""
    said = {
        "license": spdx(sheet.license) or sheet.license,
        "url": home if home.startswith(("https://", "http://")) else None,
        "creator": _person(answers.text("creators")),
        "datePublished": answers.text("released"),
        "citeAs": answers.text("citation"),
        "inLanguage": list(sheet.languages),
        **{term: answers.text(question) for term, question in _RAI.items()},
        "rai:dataPreprocessingProtocol": [
            f"{row.stage}: {row.dropped:,} of {row.read.documents:,} documents dropped" for row in funnel(manifest)
        ],
    }
    made = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "@id": manifest.digest,
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": sheet.name,
        "description": sheet.description or sheet.title,
        "version": sheet.version,
        **{name: value for name, value in said.items() if value},
        "distribution": list(_distribution(manifest)),
        "recordSet": list(_records(manifest)),
        "prov:wasGeneratedBy": _activity(manifest),
        "prov:wasDerivedFrom": [
            {"@type": "prov:Entity", "name": item.name, "sha256": item.sha256, "prov:label": item.source}
            for item in manifest.inputs
        ],
    }
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def _person(name: str | None) -> dict[str, str] | None:
    return {"@type": "sc:Organization", "name": name} if name else None


def _sets(manifest: Manifest) -> Iterator[tuple[str, tuple[FileDigest, ...]]]:
    """Record sets: the documents, and the packed rows of each split."""
    yield "documents", manifest.documents
    splits = dict.fromkeys(PurePosixPath(file.path).parent.name for file in manifest.tokens)
    for split in splits:
        yield f"tokens-{split}", tuple(f for f in manifest.tokens if PurePosixPath(f.path).parent.name == split)


def _distribution(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for name, files in _sets(manifest):
        for file in files:
            yield {
                "@type": "cr:FileObject",
                "@id": file.path,
                "name": file.path,
                "contentUrl": file.path,
                "contentSize": f"{file.bytes} B",
                "encodingFormat": _FORMATS[PurePosixPath(file.path).suffix],
                "sha256": file.sha256,
            }
        if files:
            first = PurePosixPath(files[0].path)
            yield {
                "@type": "cr:FileSet",
                "@id": f"{name}-files",
                "name": f"{name}-files",
                "encodingFormat": _FORMATS[first.suffix],
                "includes": f"{first.parent}/*{first.suffix}",
            }


def _records(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The columns that every document has; stages may have written more."""
    if manifest.documents:
        fields = [
            {
                "@type": "cr:Field",
                "@id": f"documents/{name}",
                "name": name,
                "dataType": "sc:Integer" if pa.types.is_integer(dtype) else "sc:Text",
                "source": {"fileSet": {"@id": "documents-files"}, "extract": {"column": name}},
            }
            for name, dtype in DOCUMENT.items()
        ]
        yield {"@type": "cr:RecordSet", "@id": "documents", "name": "documents", "field": fields}


def _activity(manifest: Manifest) -> dict[str, Any]:
    return {
        "@type": "prov:Activity",
        "prov:label": f"gristmill build, version {manifest.gristmill}",
        "prov:used": {"@type": "prov:Plan", "name": "recipe.yaml", "identifier": manifest.key},
        "prov:generated": {"@type": "prov:Entity", "name": "manifest.json", "identifier": manifest.digest},
    }
