import pytest

from world_models.origin.addresses import without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@host:5000", "http://host:5000"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql+psycopg2://h/db"),
        ("sqlite:////a/mlflow.db", "sqlite:////a/mlflow.db"),
        ("databricks", "databricks"),
        ("https://token@example.com/a/b.git", "https://example.com/a/b.git"),
        ("http://u:p@ss@host/a", "http://host/a"),
        ("ssh://git@example.com:22/a/b.git", "ssh://git@example.com:22/a/b.git"),
        ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ("https://host/a@b", "https://host/a@b"),
        ("from http://u:p@h/x and mysql://u:p@h", "from http://h/x and mysql://h"),
    ],
)
def test_no_address_in_a_text_has_a_password(text, shown):
    assert without_passwords(text) == shown
