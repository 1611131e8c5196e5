from nbscale.text import Text


def test_text_shows_itself():
    text = Text("a <b>\nc")
    assert text == str(text) == repr(text) == "a <b>\nc"
    assert text._repr_html_() == "<pre>a &lt;b&gt;\nc</pre>"
