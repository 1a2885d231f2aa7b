#!/bin/sh
# Word vectors read from a source in which a word stands twice are saved by gensim with a first
# line that promises more words than follow; gensim then refuses its own file, in both forms.
#
# Package:  gensim 4.4.0 (Python 3.11).
# Guessed:  the second line of the word is dropped on loading, and what is saved says how many
#           words it holds.
# Seen:     load_word2vec_format warns of the repeated word and keeps 3 of 4, but its array keeps 4
#           rows; save_word2vec_format writes "4 2" above 3 words. Loading that file again ends in
#           EOFError, text or binary.
# Matters:  such files circulate (crawled vectors do repeat words). "Fetch it again", which every
#           error of an unexpected end suggests, never helps: the file was written like that.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "gensim==4.4.0"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import gensim
from gensim.models import KeyedVectors

with open("source.txt", "w") as file:
    file.write("4 2\ncat 1 0\ndog 0 1\ncat 1 1\nbird 2 2\n")
vectors = KeyedVectors.load_word2vec_format("source.txt")
print("gensim", gensim.__version__, "keeps", vectors.index_to_key)
assert vectors.index_to_key == ["cat", "dog", "bird", None], "changed: no place is left over"
for binary in (False, True):
    vectors.save_word2vec_format("saved", binary=binary)
    content = open("saved", "rb").read()
    first = content.split(b"\n")[0]
    print("saved as", "binary" if binary else "text", "its first line says", first)
    assert first == b"4 2", "changed: the first line says how many words there are"
    assert all(content.count(word) == 1 for word in (b"cat", b"dog", b"bird"))
    try:
        KeyedVectors.load_word2vec_format("saved", binary=binary)
    except EOFError as error:
        print("its own reader: EOFError:", error)
    else:
        raise SystemExit("changed: gensim reads what it wrote")
PYTHON
echo "as stated"
