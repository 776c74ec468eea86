"""What the Studio gives away: the files of each picture, all pictures as one sheet, and everything as one ZIP."""

import zipfile
from itertools import chain, count
from pathlib import Path
from typing import Any

from ... import zoo
from ...tasks.base import Result
from ..findings import findings
from ..outside import for_others
from ..tab import Values
from ..visit import Photo, Visit
from . import hands_panel, surfaces

PACKED = (".json", ".csv", ".ply", ".obj")  # the others are compressed already


def written(visit: Visit, photo: Photo, name: str, values: Values) -> list[Path]:
    """The files of a surface in the look that is chosen; those that are there already are not written again.

    Raises:
        SapiensError: they cannot be written.
    """
    if name in surfaces.SPACES:
        return []  # which have buttons of their own
    look = surfaces.look(visit, photo, name, values)
    before = photo.files.get(name)
    if before is None or not before[0].is_same(look):
        photo.files[name] = (look, _write(visit, photo, name, values))
    return photo.files[name][1]


def _write(visit: Visit, photo: Photo, name: str, values: Values) -> list[Path]:
    from ...image import write_png
    from ...tasks.pose_formats import FORMATS

    folder = photo.next_folder(f"{name}-files")
    if name == surfaces.ALL:
        return [write_png(folder / f"{photo.stem}_all.png", sheet(visit, photo, values))]
    options = surfaces.options(visit, photo, name, values)
    if name == "pose":
        options["formats"] = tuple(FORMATS)
    paths = surfaces.result(photo, name, values).save(folder, photo.stem, side_by_side=True, **options)
    if name != hands_panel.TASK:
        return paths
    from ...predict_files import save_together

    return paths + [Path(path) for path in save_together(photo.results, name, folder, photo.stem)]


def sheet(visit: Visit, photo: Photo, values: Values) -> Any:
    """Every picture of the photo as one, (H, W, 3) uint8 RGB."""
    from ...sheet import Tile, draw_sheet

    tiles = [Tile("Photo", (photo.rgb,), ())]
    for name, result in photo.results.items():
        picture = surfaces.result(photo, name, values).picture(**surfaces.options(visit, photo, name, values))
        tiles.append(Tile(zoo.task_row(name).title, (picture,), (_made_with(result), findings(result))))
    notices = surfaces.notices(visit, photo, surfaces.ALL, values)
    return draw_sheet("Sapiens2 MLX Studio", for_others(notices), tiles, None)


def _made_with(result: Result) -> str:
    return f"{result.report.size} at {result.report.level}"


def everything(visit: Visit, values: Values) -> Path:
    """A ZIP of every file of every photo, a folder for each where there are several. Raises as written()."""
    from ...files import writing

    photos = [photo for photo in visit.photos if photo.results]
    photo = visit.the_photo
    path = photo.next_folder("zip") / f"{photo.stem if len(photos) == 1 else 'photos'}_sapiens2.zip"
    folders = _names_of_their_own(photos)
    with writing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for photo, own in zip(photos, folders, strict=True):
            folder = f"{own}/" if len(photos) > 1 else ""
            for name in _worth_packing(photo):
                for file in written(visit, photo, name, values):
                    how = zipfile.ZIP_DEFLATED if file.suffix in PACKED else zipfile.ZIP_STORED
                    archive.write(file, folder + file.name, how, compresslevel=1)
    return path


def _names_of_their_own(photos: list[Photo]) -> list[str]:
    """The photos' stems, numbered where several are alike: a, a-2."""
    names: list[str] = []
    for photo in photos:
        numbered = (f"{photo.stem}-{number}" for number in count(2))
        names.append(next(name for name in chain([photo.stem], numbered) if name not in names))
    return names


def _worth_packing(photo: Photo) -> list[str]:
    """The tasks, the sheet, and of what was made of them what the visitor has looked at."""
    offered = [name for _, name in surfaces.offered(photo)]
    return [name for name in offered if name in photo.results or name == surfaces.ALL or name in photo.files]
