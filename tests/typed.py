"""Commands as a user types them, and what comes of them."""

import json

import run


def typed(capsys, *words):
    """Exit code, standard output and the lines of standard error of one command."""
    code = run.main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err.splitlines()


def answered(capsys, *words):
    """What one command, which succeeds, answers in JSON."""
    capsys.readouterr()
    code, out, lines = typed(capsys, *words, "--json")
    assert code == 0 and not any(line.startswith("error: ") for line in lines), lines
    return json.loads(out)


def refused(capsys, *words):
    """The one line with which a mistake is refused."""
    capsys.readouterr()
    code, out, lines = typed(capsys, *words)
    errors = [line for line in lines if line.startswith("error: ")]
    assert (code, out, len(errors)) == (2, "", 1), lines
    assert "Traceback" not in "\n".join(lines)
    return errors[0]
