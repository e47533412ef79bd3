"""Make the corpus, then its tokenizer:

python -m redraft.train.corpus recipes/corpus/python.toml
python -m redraft.train.corpus recipes/corpus/python.toml --tokenizer recipes/small-code
"""

from __future__ import annotations

import argparse
from pathlib import Path

from redraft.tasks.code.store import Corpus, corpus_folder
from redraft.train.corpus.build import build, lock
from redraft.train.corpus.tokenizer import train_code_tokenizer

FILES = 1500  # of the training split, which is shuffled: 20 MB, all that a tokenizer needs


def main() -> None:
    """Read the arguments, and build or lock."""
    parser = argparse.ArgumentParser(
        prog="python -m redraft.train.corpus", description="Make a corpus of Python source."
    )
    parser.add_argument("table", type=Path, help="the table of packages")
    parser.add_argument("--lock", type=Path, help="write the table anew from this list of names")
    parser.add_argument("--tokenizer", type=Path, help="train a tokenizer into this folder")
    parser.add_argument("--vocabulary", type=int, default=4096, help="ids of the tokenizer")
    args = parser.parse_args()
    folder = corpus_folder(args.table.stem)
    if args.lock:
        lock(args.lock, args.table, folder)
    elif args.tokenizer:
        corpus = Corpus(folder, "train")
        texts = (corpus.read(source) for source in corpus.sources[:FILES])
        tokenizer = train_code_tokenizer(texts, args.vocabulary)
        args.tokenizer.mkdir(parents=True, exist_ok=True)
        tokenizer.backend.save(str(args.tokenizer / "tokenizer.json"))
    else:
        build(args.table, folder)


if __name__ == "__main__":
    main()
