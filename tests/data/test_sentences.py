import pytest

from mixlingua.data.readers.squad import sentence_spans


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two!  Three? four", ["One.", "Two!", "Three? four"]),
        ("It costs 3.14 euros. He said “Stop.” Then left.", ["It costs 3.14 euros.", "He said “Stop.”", "Then left."]),
        ("今天下雨。我们在家！真的吗？“是的。”好", ["今天下雨。", "我们在家！", "真的吗？", "“是的。”", "好"]),
        ("यह पहला है। यह दूसरा है॥ अंत", ["यह पहला है।", "यह दूसरा है॥", "अंत"]),
        ("هل هذا صحيح؟ نعم. انتهى", ["هل هذا صحيح؟", "نعم.", "انتهى"]),
        ("ประโยคหนึ่ง ยังต่อ. ประโยคสอง๛จบ", ["ประโยคหนึ่ง ยังต่อ.", "ประโยคสอง๛", "จบ"]),
        ("no end", ["no end"]),
        ("  padded. ", ["padded."]),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences
