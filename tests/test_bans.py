"""The bans hold, each finds what it is for, and nothing is allowed that is not there."""

from __future__ import annotations

import pytest

from tests.bans import ALLOWED, in_python, in_typescript, uses


def test_nothing_banned_is_shipped():
    found = [use for use in uses() if (use.file, use.function, use.what) not in ALLOWED]
    assert not found, "\n" + "\n".join(map(str, found))


def test_what_is_allowed_is_there():
    assert set(ALLOWED) == {(use.file, use.function, use.what) for use in uses()}


PLANTED = {
    "import pickle\nx = pickle.loads(data)": "pickle.loads",
    "import pickle as p\nx = p.load(file)": "pickle.load",
    "from pickle import loads as read\nx = read(data)": "pickle.loads",
    "import pickle\nread = pickle.loads": "pickle.loads",
    "import pickle\nx = getattr(pickle, 'loads')(data)": "pickle.loads",
    "import pickle\nclass Mine(pickle.Unpickler): pass": "pickle.Unpickler",
    "def f():\n    import cloudpickle\n    return cloudpickle.loads(data)": "cloudpickle.loads",
    "import marshal\nx = marshal.loads(data)": "marshal.loads",
    "from joblib import load\nmodel = load(path)": "joblib.load",
    "import pandas as pd\npd.read_pickle(path)": "pandas.read_pickle",
    "import numpy as np\nnp.load(path, allow_pickle=True)": "allow_pickle=True",
    "socket.recv_pyobj()": "recv_pyobj",
    "self._socket.send_pyobj(x)": "send_pyobj",
    "eval(text)": "eval",
    "exec(text)": "exec",
    "import builtins\nbuiltins.exec(text)": "exec",
    "import subprocess\nsubprocess.run(text, shell=True)": "shell=True",
    "import subprocess\nsubprocess.run(text, shell=flag)": "shell=True",
    "import os\nos.system(text)": "os.system",
    "socket.bind('tcp://127.0.0.1:5555')": "tcp://127.0.0.1:5555",
    "server.bind(('0.0.0.0', 80))": "0.0.0.0",
    "import socket\nsocket.socket(socket.AF_INET)": "socket.AF_INET",
    "from sklearn.utils._param_validation import validate": "from sklearn.utils._param_validation",
    "import sklearn.utils._joblib": "import sklearn.utils._joblib",
}


@pytest.mark.parametrize("text", PLANTED)
def test_each_ban_finds_what_is_planted(text):
    assert PLANTED[text] in [use.what for use in in_python(text, "planted.py")]


@pytest.mark.parametrize(
    "text",
    [
        "import subprocess\nsubprocess.run(words, shell=False)",
        "import pickle\npickle.dumps(x)",
        "frame.eval('a + b')",
        "from sklearn.utils import shuffle",
        "def loads(x): ...\nloads(1)",
        "'an eval( in a text'",
    ],
)
def test_what_is_harmless_is_let_be(text):
    assert in_python(text, "planted.py") == []


@pytest.mark.parametrize(
    "text",
    [
        "el.innerHTML = text;",
        "el.outerHTML = text;",
        "el.insertAdjacentHTML('beforeend', text);",
        "document.write(text);",
        "frame.srcdoc = text;",
        "eval(text);",
        "new Function(text)();",
        "import x from 'https://cdn.example/x.js';",
    ],
)
def test_each_ban_of_markup_finds_what_is_planted(text):
    (use,) = in_typescript(f"const a = 1;\n{text}", "planted.ts")
    assert use.line == 2


def test_plain_typescript_is_let_be():
    text = "el.textContent = text;\nsvg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');"
    assert in_typescript(text, "planted.ts") == []


def test_a_use_elsewhere_in_an_allowed_file_is_found():
    text = "import pickle\ndef other(data):\n    return pickle.loads(data)"
    (use,) = in_python(text, "nbscale/store/codec.py")
    assert (use.file, use.function, use.what) not in ALLOWED
