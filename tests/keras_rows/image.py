"""The image family."""

from __future__ import annotations

import numpy as np

from . import distinct, integers, normal, row, unit

IMAGES, ONE, VOLUMES = normal(2, 6, 5, 3), normal(7, 8, 2), normal(1, 4, 5, 6, 2)
COLORS = unit(2, 4, 5, 3)
FIRST = np.ascontiguousarray(np.moveaxis(IMAGES, -1, 1))
COORDINATES = np.float32([[-1.3, 0.2, 1.7, 3.4, 5.6, 2.25], [0.3, -2.6, 2.2, 4.8, 1.4, 7.3]])
AFFINE = np.float32([0.93, 0.11, -0.42, -0.157, 1.12, 0.31, 0, 0])
MAPS = [AFFINE.tolist(), (-AFFINE).tolist()]
START = np.float32([[0.3, 0.2], [4.1, 0.4], [0.1, 5.3], [3.7, 4.6]])
END = np.float32([[0, 0], [4, 0], [0, 5], [4, 5]])
# A coordinate is a sum of products of the size of the image, and the weights are differences of coordinates.
WARP = {"n": 4, "condition": 16}
LINES = {"n": 36, "condition": 8}

ROWS = [
    *(row("rgb_to_grayscale", x, n=3) for x in (COLORS, COLORS[0], COLORS[..., :1])),
    row("rgb_to_grayscale", FIRST, data_format="channels_first", n=3),
    row("rgb_to_hsv", COLORS, condition=8),  # quotients of differences
    row("rgb_to_hsv", np.float32([[[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 0, 1]]]), grad="at a kink"),
    row("hsv_to_rgb", COLORS, condition=8),
    row("hsv_to_rgb", np.ascontiguousarray(np.moveaxis(COLORS, -1, 1)), data_format="channels_first", condition=8),
    row("crop_images", IMAGES, top_cropping=1, left_cropping=2, target_height=3, target_width=2),
    row("crop_images", ONE, bottom_cropping=1, right_cropping=2, target_height=3, target_width=2),
    row("crop_images", FIRST, 1, 1, 2, 1, data_format="channels_first"),
    row("pad_images", IMAGES, top_padding=1, left_padding=2, target_height=9, target_width=9),
    row("pad_images", ONE, bottom_padding=1, right_padding=2, target_height=9, target_width=12),
    row("extract_patches", IMAGES, 2),
    row("extract_patches", IMAGES, (3, 2), strides=1, padding="same"),
    row("extract_patches", IMAGES, 2, strides=1, dilation_rate=2),
    row("extract_patches", FIRST, 2, data_format="channels_first"),
    row("extract_patches", ONE, 3, strides=2),
    row("extract_patches", VOLUMES, (2, 2, 3)),
    row("extract_patches_3d", VOLUMES, 2, strides=(1, 2, 1), padding="same"),
    *(row("resize", IMAGES, (9, 7), interpolation=m, **LINES) for m in ("bilinear", "bicubic", "lanczos3", "lanczos5")),
    *(
        row("resize", ONE, (4, 3), interpolation=m, antialias=True, **LINES)
        for m in ("bilinear", "bicubic", "lanczos3")
    ),
    row("resize", IMAGES, (3, 8), **LINES),
    row("resize", FIRST, (3, 8), data_format="channels_first", **LINES),
    *(row("resize", IMAGES, size, interpolation="nearest") for size in ((3, 8), (12, 5))),
    row("resize", ONE, (4, 8), crop_to_aspect_ratio=True, **LINES),
    row("resize", ONE, (4, 8), pad_to_aspect_ratio=True, fill_value=0.5, **LINES),
    *(
        row(
            "scale_and_translate",
            *(IMAGES, (2, 8, 4, 3), np.float32([1.3, 0.7]), np.float32([-0.6, 0.4]), (1, 2), method, antialias),
            n=36,
            condition=16,
            # At kinks of the kernel a rounding of the position changes the derivative.
            grad="JAX differentiates for the scale, too, at kinks" if method == "linear" else True,
        )
        for method, antialias in (("linear", True), ("cubic", False), ("lanczos3", True))
    ),
    *(
        row("map_coordinates", distinct(5, 6), COORDINATES, order, fill_mode, 0.7, **WARP)
        for order in (0, 1)
        for fill_mode in ("constant", "nearest", "wrap", "mirror", "reflect")
    ),
    row("map_coordinates", integers(0, 99, 5, 6), COORDINATES, 1, grad=False),
    *(
        row(
            "affine_transform",
            x,
            # As a list: Keras on JAX leaves the last two numbers out, and with them their gradient.
            call=lambda ops, x, m=method, f=mode: ops.image.affine_transform(
                x, MAPS[0] if x.ndim == 3 else MAPS, m, f, 0.3
            ),
            **WARP,
        )
        for x, method, mode in (
            *((IMAGES, "bilinear", mode) for mode in ("constant", "reflect", "wrap", "nearest")),
            (IMAGES, "nearest", "wrap"),
            (ONE, "bilinear", "constant"),
        )
    ),
    row("affine_transform", FIRST, np.stack([AFFINE] * 2), data_format="channels_first", grad="see above", **WARP),
    # The system of the eight numbers multiplies rounding by its condition, some hundreds here.
    *(
        row("perspective_transform", x, s, e, method, 0.2, n=8, condition=100, grad="positions near kinks")
        for x, s, e, method in (
            (IMAGES, np.stack([START] * 2), np.stack([END] * 2), "bilinear"),
            (ONE, START, END, "bilinear"),
            (ONE, START, END, "nearest"),
        )
    ),
    row("elastic_transform", IMAGES, alpha=0.0, sigma=1.0, seed=3, n=4, grad="JAX has none for the draw"),
    *(row("gaussian_blur", IMAGES, (k, k), (s, s), "channels_last", n=k * k) for k, s in ((3, 1.0), (5, 0.7))),
    row("gaussian_blur", IMAGES, (3, 5), (0.5, 1.2), "channels_last", n=15),
    row("gaussian_blur", FIRST, (3, 3), (0.8, 0.8), "channels_first", n=9),
    row("sobel_edges", IMAGES, "channels_last", n=9, condition=8),
    row("sobel_edges", FIRST, "channels_first", n=9, condition=8),
    # Variances as differences of means of squares.
    row("ssim", unit(2, 13, 12, 2), unit(2, 13, 12, 2, salt=1), n=121, condition=16),
    row("ssim", unit(9, 9, 1), unit(9, 9, 1, salt=1), filter_size=5, max_val=2.0, n=25, condition=16),
]
