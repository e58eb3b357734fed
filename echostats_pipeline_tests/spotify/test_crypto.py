import hashlib
import secrets

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from echostats_pipeline.errors import DecryptionError, SettingsError
from echostats_pipeline.spotify.crypto import TokenCipher

KEY = "0f" * 32
CIPHER = TokenCipher(SecretStr(KEY))
NEXT_KEY = "f0" * 32
OTHER_KEY = TokenCipher(SecretStr(NEXT_KEY))
ROTATED = TokenCipher(SecretStr(NEXT_KEY), [SecretStr("11" * 32), SecretStr(KEY)])


def echostats_value(plaintext: str, key: str = KEY) -> str:
    nonce = secrets.token_bytes(12)
    return f"{nonce.hex()}:{AESGCM(bytes.fromhex(key)).encrypt(nonce, plaintext.encode(), None).hex()}"


@given(plaintext=st.text(), user_id=st.text())
def test_what_was_encrypted_for_a_user_is_decrypted_for_that_user(plaintext: str, user_id: str) -> None:
    assert CIPHER.decrypt(CIPHER.encrypt(plaintext, user_id), user_id) == plaintext


@given(plaintext=st.text(min_size=1), user_id=st.text(), other=st.text())
def test_a_value_of_one_user_is_of_no_use_for_another(plaintext: str, user_id: str, other: str) -> None:
    if other != user_id:
        with pytest.raises(DecryptionError, match="another user"):
            CIPHER.decrypt(CIPHER.encrypt(plaintext, user_id), other)


@given(plaintext=st.text(max_size=8))
def test_any_single_bit_change_is_noticed(plaintext: str) -> None:
    value = CIPHER.encrypt(plaintext, "u1")
    for position, character in enumerate(value):
        for bit in range(8):
            altered = value[:position] + chr(ord(character) ^ 1 << bit) + value[position + 1 :]
            with pytest.raises(DecryptionError):
                CIPHER.decrypt(altered, "u1")


@given(value=st.text() | st.from_regex(r"\A(v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]*|[0-9a-f]*:[0-9a-f]*)\n?\Z"))
def test_any_other_text_is_a_decryption_error(value: str) -> None:
    with pytest.raises(DecryptionError):
        CIPHER.decrypt(value, "u1")


def test_the_form_names_its_version_and_its_key() -> None:
    version, key_id, sealed = CIPHER.encrypt("token", "u1").split(".")
    assert (version, key_id) == ("v1", hashlib.sha256(bytes.fromhex(KEY)).hexdigest()[:8])
    assert "=" not in sealed


def test_equal_texts_are_encrypted_differently_each_time() -> None:
    assert len({CIPHER.encrypt("token", "u1") for _ in range(100)}) == 100


@given(plaintext=st.text())
def test_values_of_echostats_are_read_and_replaced_in_their_own_form(plaintext: str) -> None:
    previous = echostats_value("old token")
    value = CIPHER.encrypt_like(previous, plaintext, "u1")
    nonce, ciphertext = (bytes.fromhex(part) for part in value.split(":"))
    assert AESGCM(bytes.fromhex(KEY)).decrypt(nonce, ciphertext, None).decode() == plaintext
    assert nonce.hex() != previous.split(":")[0]
    assert CIPHER.decrypt(value, "u1") == plaintext


def test_every_other_value_is_replaced_in_our_form() -> None:
    for previous in ("", CIPHER.encrypt("old token", "u1"), "gAAAAABl..."):
        assert CIPHER.encrypt_like(previous, "token", "u1").startswith("v1.")


def test_another_key_is_named_and_told_apart_from_damage() -> None:
    value = CIPHER.encrypt("canary-token", "u1")
    with pytest.raises(DecryptionError) as error:
        OTHER_KEY.decrypt(value, "u1")
    key_id = value.split(".")[1]
    for part in ("user u1", f"with key {key_id}", "Set ENCRYPTION_KEY to the former key"):
        assert part in str(error.value)
    assert "canary" not in str(error.value)
    assert KEY not in str(error.value)


def test_an_echostats_value_under_another_key_or_altered_cannot_be_read() -> None:
    altered = echostats_value("canary-token")
    altered = altered[:-2] + f"{int(altered[-2:], 16) ^ 1:02x}"
    for value in (altered, echostats_value("canary-token", key="f0" * 32)):
        with pytest.raises(DecryptionError, match=r"another key.*Check ENCRYPTION_KEY"):
            CIPHER.decrypt(value, "u1")


@pytest.mark.parametrize("key", ["", "0f" * 31, "0f" * 33, "zz" * 32, "0f" * 31 + " f"])
def test_a_malformed_key_is_a_settings_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY") as error:
        TokenCipher(SecretStr(key))
    assert not key or key not in str(error.value)


@given(plaintext=st.text())
def test_values_under_an_old_key_are_read_and_replaced_under_the_present_one(plaintext: str) -> None:
    for value in (CIPHER.encrypt(plaintext, "u1"), echostats_value(plaintext)):
        assert ROTATED.decrypt(value, "u1") == plaintext
        assert ROTATED.key_id_of(value, "u1") == CIPHER.key_id
        renewed = ROTATED.renewed(value, "u1")
        assert OTHER_KEY.decrypt(renewed, "u1") == plaintext
        assert ROTATED.key_id_of(renewed, "u1") == ROTATED.key_id == OTHER_KEY.key_id
        assert (":" in renewed) == (":" in value)
        assert ROTATED.renewed(renewed, "u1") == renewed


def test_an_old_key_does_not_loosen_whose_value_it_is() -> None:
    for spoil in (ROTATED.decrypt, ROTATED.renewed):
        with pytest.raises(DecryptionError, match="another user"):
            spoil(CIPHER.encrypt("token", "u1"), "u2")


def test_a_value_under_no_configured_key_is_refused_with_the_setting_that_is_missing() -> None:
    value = echostats_value("canary-token", key="22" * 32)
    for unread in (value, TokenCipher(SecretStr("22" * 32)).encrypt("canary-token", "u1")):
        with pytest.raises(DecryptionError, match="ENCRYPTION_KEYS_OLD") as error:
            ROTATED.renewed(unread, "u1")
        assert "canary" not in str(error.value)
    assert ROTATED.key_id_of(value, "u1") is None


def test_the_present_key_among_the_old_ones_is_still_the_present_one() -> None:
    cipher = TokenCipher(SecretStr(KEY), [SecretStr(KEY)])
    value = CIPHER.encrypt("token", "u1")
    assert cipher.key_ids == (CIPHER.key_id,)
    assert cipher.renewed(value, "u1") == value


def test_a_malformed_old_key_is_a_settings_error_that_does_not_show_it() -> None:
    with pytest.raises(SettingsError, match="ENCRYPTION_KEYS_OLD") as error:
        TokenCipher(SecretStr(KEY), [SecretStr("canary")])
    assert "canary" not in str(error.value)


def test_a_cipher_does_not_show_its_keys() -> None:
    assert KEY not in repr(vars(ROTATED))
