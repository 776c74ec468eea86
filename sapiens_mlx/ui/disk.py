"""What weights occupy on the disk, and a button that removes them: for whoever runs the page, at the machine itself."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import gradio as gr

from ..errors import SapiensError
from ..hosted import is_hosted, is_loopback
from ..runtime import inference
from . import words
from .problems import explained
from .progress import follow
from .wiring import PRIVATE

if TYPE_CHECKING:
    from ..inventory import Kept

ALL = "all"  # what inventory.remove() takes for every conversion
ELSEWHERE = (
    "What the weights occupy, and a button that removes them, are for whoever runs this page: they are shown where it "
    "is opened on the machine itself, without a login. There, <code>python -m sapiens_mlx models</code> tells the same."
)
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip")

Updates = dict[gr.blocks.Block, Any]


@dataclass(frozen=True)
class DiskView:
    """The components that the handlers write to. `sure` is the question before anything is removed."""

    table: gr.HTML
    controls: gr.Column
    which: gr.Dropdown
    remove: gr.Button
    sure: gr.Column
    question: gr.HTML
    status: gr.HTML


def build(tab: gr.Tab) -> None:
    """Lay this part out in the current Blocks and connect it; it is filled whenever `tab` is opened."""
    with gr.Column(elem_id="disk", elem_classes="disk"):
        gr.HTML("<h2>What weights occupy on this machine</h2>")
        table = gr.HTML()
        with gr.Column(visible=False) as controls:
            with gr.Row(elem_classes="go"):
                which = gr.Dropdown([], label="What to remove", filterable=False, scale=3, min_width=220)
                remove = gr.Button("Remove", scale=1, min_width=120, elem_id="disk-remove")
            with gr.Column(visible=False) as sure:
                question = gr.HTML()
                with gr.Row(elem_classes="go"):
                    confirm = gr.Button("Yes, remove", variant="stop", min_width=140, elem_id="disk-confirm")
                    keep = gr.Button("Keep", min_width=120, elem_id="disk-keep")
        status = gr.HTML(elem_id="disk-status", elem_classes="status-area")
    view = DiskView(table, controls, which, remove, sure, question, status)
    do = DiskActions(view)
    outputs = [table, controls, which, remove, sure, question, status]
    tab.select(do.shown, None, outputs, concurrency_limit=2, **PRIVATE)
    which.input(do.kept, None, outputs, queue=False, **PRIVATE)
    remove.click(do.asked, which, outputs, concurrency_limit=2, **PRIVATE)
    keep.click(do.kept, None, outputs, queue=False, **PRIVATE)
    confirm.click(do.removed, which, outputs, concurrency_limit=1, **PRIVATE)


class DiskActions:
    """The handlers. Each asks anew who it is: what a page does not show can be sent all the same."""

    def __init__(self, view: DiskView) -> None:
        self._view = view

    def shown(self, request: gr.Request) -> Updates:
        """What there is, to whoever runs the page; to others, where it is told."""
        view = self._view
        if not is_owner(request):
            return {view.table: f'<p class="aside">{ELSEWHERE}</p>', view.controls: gr.update(visible=False)}
        try:
            return self._listed() | {view.status: ""}
        except Exception as problem:
            return {view.status: explained(problem)}

    def asked(self, which: str | None, request: gr.Request) -> Updates:
        """Remove was pressed: whether that is meant."""
        view = self._view
        if not is_owner(request):
            return self.shown(request)
        chosen = _chosen(which)
        if not chosen:
            return self._listed() | {view.status: words.notice("That is not here any more.")}
        return {view.sure: gr.update(visible=True), view.question: _question(chosen), view.status: ""}

    def kept(self) -> Updates:
        """It was not meant."""
        return {self._view.sure: gr.update(visible=False)}

    def removed(self, which: str | None, request: gr.Request) -> Generator[Updates, None, None]:
        """It was: on the inference thread, so that no network is being read meanwhile."""
        view = self._view
        if not is_owner(request):
            yield self.shown(request)
            return
        from .. import inventory

        yield {view.sure: gr.update(visible=False), view.remove: gr.update(interactive=False)}
        try:
            if not which:
                raise SapiensError("There is nothing to remove.")
            job = inference.submit(lambda progress: inventory.remove([which]))
            for step, seconds in follow(job):
                yield {view.status: words.working(step, seconds)}
            freed_bytes = sum(one.bytes for one in job.result())
            status = words.line("Removed", f"{inventory.amount(freed_bytes)} of the disk are free again.")
        except Exception as problem:
            status = explained(problem)
        yield self._listed() | {view.status: status}

    def _listed(self) -> Updates:
        from .. import inventory

        view = self._view
        conversions, downloads = inventory.conversions(), inventory.downloads()
        both = [*downloads, *conversions]
        choices = [(f"{one.name} ({inventory.amount(one.bytes)})", one.name) for one in both]
        if len(conversions) > 1:
            total = inventory.amount(sum(one.bytes for one in conversions))
            choices.append((f"All {len(conversions)} conversions ({total})", ALL))
        return {
            view.table: _table(downloads, conversions),
            view.controls: gr.update(visible=bool(both)),
            view.which: gr.update(choices=choices, value=choices[0][1] if choices else None),
            view.remove: gr.update(interactive=True),
            view.sure: gr.update(visible=False),
        }


# ---- who asks -------------------------------------------------------------------------------------------------------


def is_owner(request: gr.Request | None) -> bool:
    """Whether a request comes from the machine that serves the page, without a login, a public link or a proxy.

    The address alone does not tell: what comes by a public link or a proxy on this machine is local too, but was asked
    of another host.
    """
    if request is None or is_hosted() or request.username:
        return False
    headers = request.headers
    if not is_loopback(request.client.host if request.client else None) or any(name in headers for name in FORWARDED):
        return False
    asked_of = [f"//{headers.get('host', '')}", *(headers[name] for name in ("origin", "referer") if name in headers)]
    return all(is_loopback(urlsplit(address).hostname) for address in asked_of)


# ---- in words -------------------------------------------------------------------------------------------------------


def _chosen(which: str | None) -> "list[Kept]":
    from .. import inventory

    kept = inventory.conversions()
    return kept if which == ALL else [one for one in [*kept, *inventory.downloads()] if one.name == which]


def _question(chosen: "Sequence[Kept]") -> str:
    from .. import inventory

    total = inventory.amount(sum(one.bytes for one in chosen))
    what = escape(chosen[0].name) if len(chosen) == 1 else f"all {len(chosen)} conversions"
    if chosen[0].is_download:
        after = "It is downloaded again when it is needed, by this program or by another one that uses the same cache."
    else:
        after = "Conversions are made again when they are needed, from the original weights where those can be had."
    return f'<p role="alert"><b>Remove {what}, {total}?</b> {after}</p>'


def _table(downloads: "Sequence[Kept]", conversions: "Sequence[Kept]") -> str:
    from .. import inventory
    from ..weights import conversion, hub_cache

    if not downloads and not conversions:
        return (
            "<p>No downloaded weights and no conversions are here. The demo weights are part of the program, "
            "files in your own folders are not listed.</p>"
        )
    parts = (("Downloaded", downloads, hub_cache.cache_folder()), ("Converted", conversions, conversion.cache_folder()))
    rows = "".join(
        f'<tr><th scope="row">{escape(one.name)}</th><td>{kind}</td><td>{inventory.amount(one.bytes)}</td></tr>'
        for kind, kept, _ in parts
        for one in kept
    )
    total = inventory.amount(sum(one.bytes for one in (*downloads, *conversions)))
    where = " ".join(f"{kind}: <code>{escape(str(folder))}</code>." for kind, kept, folder in parts if kept)
    return (
        '<div class="levels"><table><thead><tr><th scope="col">Weights</th><th scope="col">What they are</th>'
        f'<th scope="col">On the disk</th></tr></thead><tbody>{rows}'
        f'<tr><th scope="row">Together</th><td></td><td>{total}</td></tr></tbody></table></div>'
        f'<p class="where">{where} Files in folders of your own are not listed, and never removed.</p>'
    )
