"""Clothes: what a person wears, where it covers the body, how far it stands off, and how skin and cloth are painted."""

from dataclasses import dataclass

import numpy as np

from . import labels
from .body import ALONG_ARM, ALONG_LEG, ARM_FIELD, LEG_FIELD
from .face import Paint
from .texture import Ripples, cloth, draw_colour, grain, leaves, linear, look_up, writing

_NECKS = ("crew", "v", "scoop", "turtle", "boat")


@dataclass(frozen=True)
class Outfit:
    """Lengths along limbs as in body.py's fields; heights in metres of the adult at rest; colours linear RGB."""

    skin_rgb: np.ndarray
    sleeve: float  # 0.05 none, 0.5 t-shirt, 1.9 long; below 0 a top with straps; below -1 no top
    hem: float
    neck: str
    neck_depth: float
    upper_tile: np.ndarray
    upper_loose: float
    tucked: bool
    opening: float  # half width of an open jacket's front, 0 when closed
    inner_tile: np.ndarray
    trousers: float  # -1 none, 0.35 shorts, 1.95 long
    waist: float
    lower_tile: np.ndarray
    lower_loose: float
    skirt: float  # height of a skirt's hem, or 0
    skirt_flare: float
    skirt_is_upper: bool
    socks: float  # from here down along the leg; 3 none
    sock_rgb: np.ndarray
    shoes: bool
    boots: float  # from here down along the leg; 3 none
    shoe_rgb: tuple[np.ndarray, np.ndarray, np.ndarray]  # upper, sole, stripe
    straps: str  # "", "pack", "bag"
    watch: int  # 0 none, 1 left, 2 right
    apparel_rgb: np.ndarray
    print_tile: np.ndarray | None
    creases: Ripples
    folds: Ripples
    mottle: Ripples

    @staticmethod
    def draw(rng: np.random.Generator, skin_rgb: np.ndarray, woman: bool, child: bool) -> "Outfit":
        summer = rng.random() < 0.45
        sleeve = rng.choice(
            [-2.0, -0.5, 0.05, rng.uniform(0.3, 0.75), rng.uniform(0.9, 1.4), rng.uniform(1.75, 1.97)],
            p=[0.05, 0.09, 0.06, 0.36, 0.06, 0.38] if summer else [0.01, 0.02, 0.02, 0.15, 0.05, 0.75],
        )
        dress = woman and rng.random() < 0.2
        skirt = rng.uniform(0.18, 0.68) if dress or (woman and rng.random() < 0.15) else 0.0
        coat = not skirt and sleeve > 1.7 and rng.random() < 0.15
        trousers = rng.choice(
            [rng.uniform(0.2, 0.6), rng.uniform(0.6, 1.1), rng.uniform(1.3, 1.75), rng.uniform(1.85, 2.0)],
            p=[0.3, 0.22, 0.08, 0.4] if summer else [0.04, 0.04, 0.07, 0.85],
        )
        if rng.random() < 0.03:
            trousers = 0.08
        shoes = rng.random() < (0.66 if summer else 0.78)
        upper_tile = cloth(rng)
        lower_tile = upper_tile if (dress or rng.random() < 0.06) else cloth(rng)
        if rng.random() < 0.35:
            lower_tile = np.broadcast_to(np.float32(draw_colour(rng, rng.uniform(0, 0.5))), lower_tile.shape).copy()
        print_tile = None
        if rng.random() < 0.28:
            ground = np.full((256, 256, 3), -1, np.float32)
            mark = draw_colour(rng)
            print_tile = (
                writing(rng, ground, mark, 3)
                if rng.random() < 0.5
                else leaves(rng, [mark, draw_colour(rng), draw_colour(rng)], 30, 0.4)
            )
        opening = rng.uniform(0.015, 0.07) if sleeve > 1.2 and rng.random() < 0.3 else 0.0
        shoe = draw_colour(rng, rng.choice([0.05, 0.9, rng.random()]))
        sole = draw_colour(rng, rng.choice([0.95, 0.03, 0.5]))
        return Outfit(
            skin_rgb=skin_rgb,
            sleeve=sleeve,
            hem=rng.choice(
                [rng.uniform(0.90, 0.99), rng.uniform(1.0, 1.12), rng.uniform(0.80, 0.9)], p=[0.7, 0.15, 0.15]
            ),
            neck=_NECKS[rng.choice(5, p=[0.5, 0.2, 0.12, 0.1, 0.08])],
            neck_depth=rng.uniform(0.03, 0.13),
            upper_tile=upper_tile,
            upper_loose=rng.choice(
                [rng.uniform(0.001, 0.004), rng.uniform(0.005, 0.014), rng.uniform(0.014, 0.03)], p=[0.25, 0.5, 0.25]
            ),
            tucked=rng.random() < 0.3,
            opening=opening,
            inner_tile=cloth(rng) if opening else upper_tile,
            trousers=-1.0 if skirt and rng.random() < 0.85 else trousers,
            waist=rng.uniform(0.96, 1.06),
            lower_tile=lower_tile,
            lower_loose=rng.choice(
                [rng.uniform(0.001, 0.003), rng.uniform(0.004, 0.012), rng.uniform(0.012, 0.03)], p=[0.3, 0.45, 0.25]
            ),
            skirt=rng.uniform(0.4, 0.7) if coat else skirt,
            skirt_flare=rng.uniform(0.02, 0.14) if coat else rng.uniform(0.05, 0.45),
            skirt_is_upper=coat or dress,
            socks=rng.choice([3.0, rng.uniform(1.75, 1.9), rng.uniform(1.1, 1.7), 0.3], p=[0.5, 0.32, 0.12, 0.06]),
            sock_rgb=draw_colour(rng, rng.choice([0.95, 0.05, rng.random()])),
            shoes=shoes,
            boots=rng.uniform(1.15, 1.75) if shoes and rng.random() < 0.15 else 3.0,
            shoe_rgb=(shoe, sole, draw_colour(rng)),
            straps=rng.choice(["", "pack", "bag"], p=[0.86, 0.07, 0.07]),
            watch=int(rng.choice([0, 1, 2], p=[0.8, 0.14, 0.06])),
            apparel_rgb=draw_colour(rng),
            print_tile=print_tile,
            creases=Ripples(rng, 0.045, (1, 0.6, 1)),
            folds=Ripples(rng, 0.13, (1, 0.5, 1)),
            mottle=Ripples(rng, 0.07),
        )

    def cover(self, rest: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How deep (N,) in metres places on the body lie under the upper and the lower garment; negative where bare."""
        x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
        arm, leg = fields[:, ARM_FIELD], fields[:, LEG_FIELD]
        cut = 1.495 - 0.35 * z + np.clip(x - 0.075, 0, 1)
        front = np.clip((z + 0.01) / 0.03, 0, 1)
        if self.neck == "v":
            cut = cut - front * (self.neck_depth + 0.02) * np.clip(1 - x / 0.075, 0, 1)
        elif self.neck == "scoop":
            cut = cut - front * self.neck_depth * np.sqrt(np.clip(1 - (x / 0.105) ** 2, 0, 1))
        elif self.neck == "turtle":
            cut = cut + 0.035
        elif self.neck == "boat":
            cut = cut - 0.25 * np.clip(0.13 - x, 0, 0.06)
        if -1 < self.sleeve < 0:  # straps: a deep neck and bare shoulders
            cut = np.where(np.abs(x - 0.085) < 0.022, 1.6, 1.375 + 0.2 * np.clip(0.1 - z, 0, 1) * 0)
        trunk = np.minimum(y - self.hem, cut - y)
        if self.sleeve < 0.1:
            trunk = np.minimum(trunk, -0.008 - arm)
        upper = np.where(arm > 0, (self.sleeve - fields[:, ALONG_ARM]) * 0.28, trunk)
        if self.sleeve < -1:
            upper = np.full_like(upper, -1)
        lower = np.where(
            leg > 0, np.minimum(self.waist - y, (self.trousers - fields[:, ALONG_LEG]) * 0.43), self.waist - y
        )
        lower = np.where((arm > 0) | (self.trousers < 0), -1, lower)
        return upper, lower

    def displaced(self, rest: np.ndarray, fields: np.ndarray) -> np.ndarray:
        """How far (V,) clothes stand off the body at its vertices, in metres."""
        upper, lower = self.cover(rest, fields)
        fold, crease = self.folds(rest), self.creases(rest)
        along_arm, along_leg = np.clip(fields[:, ALONG_ARM], 0, 2), np.clip(fields[:, ALONG_LEG], 0, 2)
        arm, leg = fields[:, ARM_FIELD] > 0, fields[:, LEG_FIELD] > 0

        def stand_off(depth: np.ndarray, loose: float, more: np.ndarray) -> np.ndarray:
            wavy = 0.75 + 0.35 * fold + 0.16 * crease
            return np.clip(depth / 0.008, 0, 1) * (0.003 + loose * np.clip(wavy, 0.1, 2) * more)

        more_upper = np.where(
            arm, 0.7 + 0.35 * np.sin(np.pi * np.clip(along_arm, 0, 1)), 0.6 + np.clip((1.30 - rest[:, 1]) / 0.3, 0, 1)
        )
        more_lower = np.where(leg, 0.5 + 0.5 * along_leg, 0.5)
        out = np.maximum(stand_off(lower, self.lower_loose, more_lower), 0)
        if self.tucked:
            upper = np.minimum(upper, -lower + 0.01)
        out = np.maximum(out + 0.002 * (lower > 0) * (upper > 0), stand_off(upper, self.upper_loose, more_upper))
        shin = fields[:, LEG_FIELD] > 0
        out = np.maximum(out, 0.0025 * np.clip((fields[:, ALONG_LEG] - self.socks) / 0.03, 0, 1) * shin)
        return np.maximum(out, 0.007 * np.clip((fields[:, ALONG_LEG] - self.boots) / 0.03, 0, 1) * shin).astype(
            np.float32
        )

    def skin(self, rest: np.ndarray) -> Paint:
        """Bare skin at N places, labelled Torso."""
        n = len(rest)
        tone = 1 + 0.05 * self.mottle(rest) + 0.10 * (grain(rest, 900) - 0.5)
        rgb = self.skin_rgb.astype(np.float32) * tone[:, None].astype(np.float32)
        return Paint(np.full(n, labels.TORSO, np.uint8), rgb, np.full(n, 0.07, np.float32), np.zeros(n, np.float32))

    def paint_body(self, rest: np.ndarray, fields: np.ndarray) -> Paint:
        """Trunk, neck and limbs, dressed."""
        paint = self.skin(rest)
        x, y, z = rest.T
        arm, leg = fields[:, ARM_FIELD] > 0, fields[:, LEG_FIELD] > 0
        right = (x < 0).astype(np.intp)
        paint.labels[(y > 1.478 - 0.4 * z) & (np.abs(x) < 0.08)] = labels.FACE_NECK
        for here, along, near, far in (
            (arm, ALONG_ARM, "UPPER_ARM", "LOWER_ARM"),
            (leg, ALONG_LEG, "UPPER_LEG", "LOWER_LEG"),
        ):
            first = np.array(labels.sided(near), np.uint8)[right]
            second = np.array(labels.sided(far), np.uint8)[right]
            paint.labels[here] = np.where(fields[:, along] < 1, first, second)[here]
        self._colour(
            paint,
            leg & (fields[:, ALONG_LEG] > self.socks),
            self.sock_rgb,
            np.array(labels.sided("SOCK"), np.uint8)[right],
        )
        upper, lower = self.cover(rest, fields)
        if self.tucked:
            upper = np.where(lower > 0, -1, upper)
        u, v = self._wrap(rest, fields)
        if self.skirt:  # what the skirt does not hide of hips and legs is its lining
            under = leg & (fields[:, ALONG_LEG] < 0.75 * (0.93 - self.skirt) / 0.43)
            under |= ~arm & (y < 1.02)
            self._wear(paint, under, *self._of_skirt(), u, v, rest)
        covered = (lower > 0) & (upper <= 0)
        self._wear(paint, covered, self.lower_tile, labels.LOWER_CLOTHING, u, v, rest)
        seam = covered & (np.abs(self.waist - y) < 0.018) & ~arm
        paint.rgb[seam] *= 0.6
        covered = upper > 0
        self._wear(paint, covered, self.upper_tile, labels.UPPER_CLOTHING, u, v, rest)
        paint.rgb[covered & (upper < 0.012)] *= np.float32(0.82)
        if self.opening:
            gap = covered & ~arm & (z > 0) & (np.abs(x) < self.opening + 0.15 * np.clip(1.2 - y, 0, 1) + 0.01)
            self._wear(paint, gap, self.inner_tile, labels.UPPER_CLOTHING, u, v, rest)
            edge = gap & (np.abs(np.abs(x) - self.opening - 0.15 * np.clip(1.2 - y, 0, 1)) < 0.012)
            paint.rgb[edge] *= np.float32(0.35)
        elif self.print_tile is not None:
            chest = covered & ~arm & (z > 0) & (np.abs(x) < 0.10) & (np.abs(y - 1.27) < 0.10)
            found = look_up(self.print_tile, x[chest] * 4.9 + 0.5, (1.37 - y[chest]) * 4.9)
            shown = found[:, 0] > 0
            paint.rgb[np.flatnonzero(chest)[shown]] = found[shown]
        self._colour(
            paint,
            leg & (fields[:, ALONG_LEG] > self.boots),
            self.shoe_rgb[0],
            np.array(labels.sided("SHOE"), np.uint8)[right],
        )
        apparel = np.zeros(len(rest), bool)
        if self.straps == "pack":
            apparel |= ~arm & (np.abs(np.abs(x) - 0.105) < 0.022) & (y > 1.2)
        elif self.straps == "bag":
            apparel |= ~arm & (y > 0.98) & (np.abs(y - 1.30 - 1.15 * x * np.where(z > 0, 1, 1)) < 0.028)
        if self.watch:
            apparel |= (
                arm & (np.abs(fields[:, ALONG_ARM] - 1.88) < 0.045) & (right == self.watch - 1) & (self.sleeve < 1.8)
            )
        self._colour(paint, apparel, self.apparel_rgb, labels.APPAREL)
        return paint

    def _wrap(self, rest: np.ndarray, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cloth coordinates: around and down the body, a quarter of a metre a tile."""
        x, y, z = rest.T
        arm, leg = fields[:, ARM_FIELD] > 0, fields[:, LEG_FIELD] > 0
        around = np.where(np.abs(z) > -1, x * 0.9 + 0.6 * z * np.sign(x), x)
        around = np.where(arm, z * 1.3, around)
        around = np.where(leg, (np.abs(x) - 0.1) + 0.9 * z, around)
        down = np.where(arm, fields[:, ALONG_ARM] * 0.27, y)
        return around * 4, down * 4

    def _wear(
        self,
        paint: Paint,
        mask: np.ndarray,
        tile: np.ndarray,
        label: int,
        u: np.ndarray,
        v: np.ndarray,
        rest: np.ndarray,
    ) -> None:
        at = np.flatnonzero(mask)
        paint.rgb[at] = look_up(tile, u[at], v[at])
        paint.labels[at], paint.shine[at] = label, 0.03
        paint.bump[at] = 0.0006 * self.creases(rest[at] * np.float32(1.5)) + 0.0022 * self.folds(
            rest[at] * np.float32(1.3)
        )

    def _colour(self, paint: Paint, mask: np.ndarray, rgb: np.ndarray, label: np.ndarray | int) -> None:
        paint.rgb[mask] = rgb
        paint.labels[mask] = label[mask] if isinstance(label, np.ndarray) else label
        paint.shine[mask] = 0.06

    def _of_skirt(self) -> tuple[np.ndarray, int]:
        upper = self.skirt_is_upper
        return (self.upper_tile, labels.UPPER_CLOTHING) if upper else (self.lower_tile, labels.LOWER_CLOTHING)

    def paint_skirt(self, rest: np.ndarray, fields: np.ndarray) -> Paint:
        paint = self.skin(rest)
        angle = np.arctan2(rest[:, 0], rest[:, 2])
        self._wear(paint, np.ones(len(rest), bool), *self._of_skirt(), angle * 0.8, rest[:, 1] * 4, rest)
        return paint

    def paint_hand(self, right: bool, local: np.ndarray, fields: np.ndarray) -> Paint:
        paint = self.skin(local)
        paint.labels[:] = labels.sided("HAND")[right]
        palm = np.clip(local[:, 2] / 0.01, 0, 1) * 0.35
        light = self.skin_rgb * 0.7 + 0.3 * np.array([0.42, 0.26, 0.20])
        paint.rgb += (light - self.skin_rgb).astype(np.float32) * palm[:, None].astype(np.float32)
        return paint

    def paint_foot(self, right: bool, local: np.ndarray, fields: np.ndarray) -> Paint:
        paint = self.skin(local)
        y, z = local[:, 1], local[:, 2]
        if not self.shoes:
            socked = self.socks < 2.5
            paint.labels[:] = labels.sided("SOCK" if socked else "FOOT")[right]
            if socked:
                paint.rgb[:] = self.sock_rgb
                paint.rgb *= (0.9 + 0.1 * np.sin(y * 2500))[:, None].astype(np.float32)
            return paint
        paint.labels[:] = labels.sided("SHOE")[right]
        upper, sole, stripe = self.shoe_rgb
        paint.rgb[:] = upper
        paint.rgb[(np.abs(z - 0.03 - y * 0.4) < 0.012) & (np.abs(local[:, 0]) > 0.13)] = stripe
        laces = (
            (np.abs(np.abs(local[:, 0]) - 0.115) < 0.02)
            & (z > 0.025)
            & (z < 0.10)
            & (y > 0.045)
            & (np.sin(z * 500) > 0.2)
        )
        paint.rgb[laces] = sole
        paint.rgb[y < 0.018] = sole
        paint.shine[:] = 0.15
        return paint


def draw_skin(rng: np.random.Generator) -> np.ndarray:
    """A skin colour, (3,) linear, from very light to very dark."""
    tones = np.array(
        [
            (0.93, 0.78, 0.70),
            (0.88, 0.70, 0.58),
            (0.80, 0.60, 0.46),
            (0.68, 0.48, 0.35),
            (0.52, 0.35, 0.25),
            (0.36, 0.23, 0.17),
            (0.26, 0.17, 0.13),
        ]
    )
    at = rng.uniform(0, len(tones) - 1)
    low = int(at)
    tone = tones[low] + (at - low) * (tones[min(low + 1, len(tones) - 1)] - tones[low])
    return linear(tone * rng.normal(1, 0.04) * (1 + rng.normal(0, 0.02, 3)))
