"""Parallel questions and passages about countries, cities, languages and currencies, made from CLDR and templates."""

from mixlingua.data.atlas.facts import LANGUAGES
from mixlingua.data.atlas.generate import LICENCE, REVISION, AtlasEvaluation, AtlasReader, evaluation_split

__all__ = ["LANGUAGES", "LICENCE", "REVISION", "AtlasEvaluation", "AtlasReader", "evaluation_split"]
