import inspect

from embedkit import errors


def test_the_documented_tree_has_every_error_below_its_base() -> None:
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    depths = {
        line.split("── ")[1].split()[0]: line.index("├" if "├" in line else "└") for line in drawn
    }
    classes = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind is not errors.EmbedkitError and not issubclass(kind, Warning)
    }
    assert set(depths) == set(classes)
    for name, kind in classes.items():
        expected = 4 if kind.__bases__ == (errors.EmbedkitError,) else 8
        assert depths[name] == expected, name


def test_bad_input_exits_with_2_and_other_errors_with_1() -> None:
    assert errors.UnreadableImage("decode", "broken").exit_status == 2
    assert errors.UnknownBackbone("x").exit_status == 2
    assert errors.WeightsMissing("x").exit_status == 1
