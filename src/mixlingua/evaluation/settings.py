"""The settings a benchmark is measured in, as Elmahdy, Lin and Ahmad 2024 (arXiv 2408.10536) name them."""

SETTINGS = ("monolingual", "crosslingual", "multilingual")
ALL_LANGUAGES = "all"  # the passage language of the multilingual setting
