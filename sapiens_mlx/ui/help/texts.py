"""The texts of the tab Help: what each picture means, links, whose weights there are and what their licences allow."""

from ... import zoo

SECTIONS = {
    "begin": "How to begin",
    "tasks": "What each picture means",
    "parts": "The 29 body parts",
    "keypoints": "The 308 keypoints",
    "sizes": "Sizes and memory",
    "levels": "Quantization levels",
    "licences": "Licences",
    "paper": "Paper and citation",
    "privacy": "Privacy and limits",
}

# task: what the colours mean; in which units its numbers are.
PICTURES = {
    "seg": (
        "Each pixel in the colour of its part, over the photo; the legend gives each part's share of the photo.",
        "classes 0 to 28, shares in %",
    ),
    "pose": (
        "A point for each keypoint whose score is above the threshold (0.3), lines between neighbouring joints, a box "
        "around each person; one colour a person, or one for each group of points.",
        "pixels of the photo, from the middle of the top left one; scores about 0 to 1",
    ),
    "normal": (
        "Which way a surface faces: red grows towards the right of the photo, green upwards, blue towards the camera. "
        "What faces the camera is violet-blue.",
        "vectors of length 1: x right, y up, z towards the camera",
    ),
    "pointmap": (
        "Distance from the camera along its line of sight: from blue (near) to red (far), with the metres on the bar; "
        "the style Reference has red for near. Also the same points in 3-D.",
        "metres, as estimated: x right, y down, z away from the camera; field of view in degrees",
    ),
    "albedo": ("The colours of skin and cloth as without light and shadow.", "red, green, blue from 0 to 1"),
    "matting": (
        "People cut out, with soft edges, over a checkerboard or a background of your own.",
        "opacity from 0 (background) to 1 (person)",
    ),
    "features": (
        "What the pretrained network tells apart: the three main components of its features as red, green and blue; "
        "they mean something only beside each other. After a click: how like the place everything else is.",
        "cosines from −1 to 1",
    ),
    "detect": ("A lime box around each person, with the detector's score.", "pixels of the photo; scores 0 to 1"),
    "hands": (
        "Each hand as a shaded mesh, blue for a left and orange for a right one, with the bones of its fingers; the "
        "same meshes in 3-D.",
        "millimetres: x right, y down, z away from the camera; pixels of the photo; rotations in radians",
    ),
}
HANDS = (
    "Hands are another network's, WiLoR, which the package wilor-mlx runs: <code>pip install '.[hands]'</code>. "
    "Millimetres are its estimate, and distances mean something only between points of one hand: the camera that it "
    "assumes has a very long lens."
)

LEFT_RIGHT = "Left and right are the person's own."

PAPER = "https://arxiv.org/abs/2604.21681"
LINKS = (
    ("Paper: arXiv 2604.21681, ICLR 2026", PAPER),
    ("Code of its authors: facebookresearch/sapiens2", "https://github.com/facebookresearch/sapiens2"),
    ("Weights: collection facebook/sapiens2 on Hugging Face", "https://huggingface.co/collections/facebook/sapiens2"),
    (
        "Person detector: facebook/sapiens-pose-bbox-detector",
        "https://huggingface.co/facebook/sapiens-pose-bbox-detector",
    ),
    ("RTMDet, in MMDetection", "https://github.com/open-mmlab/mmdetection/tree/main/configs/rtmdet"),
    ("MLX", "https://github.com/ml-explore/mlx"),
    ("WiLoR, hands in 3-D: arXiv 2409.12259, CVPR 2025", "https://arxiv.org/abs/2409.12259"),
    ("WiLoR in MLX: wilor-mlx", "https://github.com/lyonsno/wilor-mlx"),
)
# As the authors ask to be cited.
CITATION = """@article{khirodkarsapiens2,
  title={Sapiens2},
  author={Khirodkar, Rawal and Wen, He and Martinez, Julieta and Dong, Yuan and Su, Zhaoen and Saito, Shunsuke},
  journal={arXiv preprint arXiv:2604.21681},
  year={2026}
}"""

LICENCE_OF = {
    zoo.SAPIENS2_LICENCE.name: (
        "All Sapiens2 weights of 0.1b and larger, and their conversions",
        "Allows use, changes and passing on, each with a copy of the licence. Among what it rules out: surveillance, "
        "biometric processing, identifying people, deepfakes, and inferring health or other sensitive facts without "
        "the consent that the law requires. Publications must acknowledge Sapiens2. Read it before you use them.",
    ),
    zoo.APACHE_2.name: (
        "The person detectors RTMDet-m and RF-DETR",
        "Allows use, changes and passing on, with the licence and its notices.",
    ),
    zoo.DEMO_LICENCE.name: (
        "The demo weights, which are this project's own",
        "Allows nearly everything, with the notice kept.",
    ),
    zoo.WILOR_LICENCE.name: (
        "WiLoR's weights, for hands",
        "Allows passing them on unchanged, with the authors named and for no commercial purpose; what is changed, a "
        "conversion too, may not be passed on.",
    ),
    zoo.ULTRALYTICS_LICENCE.name: (
        "The detector of hands, a YOLOv8",
        "AGPL-3.0, or a licence bought from Ultralytics.",
    ),
    zoo.MANO_LICENCE.name: (
        "MANO, the hand model",
        "For research, education and art without commercial purpose; may not be passed on. None of it is in this "
        "project.",
    ),
}
