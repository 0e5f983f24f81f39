//! AES-256-SIV ([RFC 5297](https://www.rfc-editor.org/rfc/rfc5297)), implemented by the crate `aes-siv` (record 33).

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 64;
const TAG_BYTES: usize = 16;

/// The synthetic initialization vector, which is also the authentication tag.
pub(super) type Tag = [u8; TAG_BYTES];

/// The key for the envelopes of one type, wiped when dropped. The first half is for the MAC, the second for the cipher.
pub(super) struct TypeKey(Zeroizing<[u8; KEY_BYTES]>);

impl Default for TypeKey {
    /// Creates a key of zeros, which a derivation then overwrites.
    fn default() -> Self {
        Self(Zeroizing::new([0; KEY_BYTES]))
    }
}

impl AsMut<[u8]> for TypeKey {
    fn as_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_slice()
    }
}

impl TypeKey {
    /// Encrypts `buffer` in place.
    ///
    /// # Errors
    /// The associated data has more than 126 components, the limit of the RFC.
    pub(super) fn seal<'a>(
        &self,
        components: impl IntoIterator<Item = &'a [u8]>,
        buffer: &mut [u8],
    ) -> Result<Tag, aes_siv::Error> {
        self.cipher().encrypt_inout_detached(components, buffer.into()).map(Into::into)
    }

    /// Decrypts `buffer` in place.
    ///
    /// # Errors
    /// The buffer or its associated data differs from what was sealed, or was sealed under another key. The crate then
    /// encrypts the buffer again, so that nothing decrypted stays in it.
    pub(super) fn open<'a>(
        &self,
        components: impl IntoIterator<Item = &'a [u8]>,
        buffer: &mut [u8],
        tag: Tag,
    ) -> Result<(), aes_siv::Error> {
        self.cipher().decrypt_inout_detached(components, buffer.into(), &tag.into())
    }

    /// Returns a cipher. The crate's cipher can be neither shared nor cloned, so each value gets its own.
    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new((&*self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use aes_siv::siv::Aes128Siv;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MAX_COMPONENTS: usize = 126;

    fn key() -> TypeKey {
        TypeKey(Zeroizing::new([1; KEY_BYTES]))
    }

    fn parts(components: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
        components.iter().map(Vec::as_slice)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("a hex digit")).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
    }

    #[test]
    fn the_crate_computes_what_rfc_5297_says() {
        let appendix_a1 = (
            "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            vec!["101112131415161718191a1b1c1d1e1f2021222324252627"],
            "112233445566778899aabbccddee",
            "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
        );
        let appendix_a2 = (
            "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
            vec![
                "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
                "102030405060708090a0",
                "09f911029d74e35bd84156c5635688c0",
            ],
            "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
            "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
        );
        for (key, components, plaintext, expected) in [appendix_a1, appendix_a2] {
            let components: Vec<_> = components.into_iter().map(bytes).collect();
            let cipher = || Aes128Siv::new_from_slice(&bytes(key)).expect("a key of 32 bytes");
            let mut buffer = bytes(plaintext);
            let tag =
                cipher().encrypt_inout_detached(&components, buffer.as_mut_slice().into()).expect("few components");
            assert_eq!([tag.as_slice(), buffer.as_slice()].concat(), bytes(expected));
            cipher().decrypt_inout_detached(&components, buffer.as_mut_slice().into(), &tag).expect("authentic");
            assert_eq!(buffer, bytes(plaintext));
        }
    }

    proptest! {
        #[test]
        fn nothing_decrypted_stays_of_what_is_not_authentic(
            value in vec(any::<u8>(), 16..200),
            component in vec(any::<u8>(), 1..40),
            position in any::<prop::sample::Index>(),
            bit in 0_u32..8,
            which in 0..3,
        ) {
            let key = key();
            let (mut buffer, mut components) = (value.clone(), vec![component]);
            let mut tag = key.seal(parts(&components), &mut buffer).expect("sealed");
            let changed = match which {
                0 => buffer.as_mut_slice(),
                1 => components[0].as_mut_slice(),
                _ => tag.as_mut_slice(),
            };
            let position = position.index(changed.len());
            changed[position] ^= 1_u8 << bit;
            let given = buffer.clone();
            prop_assert!(key.open(parts(&components), &mut buffer, tag).is_err());
            prop_assert_eq!(&buffer, &given, "it is as it was given");
            prop_assert_ne!(&buffer, &value);
        }
    }

    #[test]
    fn components_are_limited() {
        let key = key();
        let components = vec![b"a".to_vec(); MAX_COMPONENTS + 1];
        let sealed = |count: usize| key.seal(parts(&components[..count]), &mut [1; 4]).is_ok();
        assert!(sealed(MAX_COMPONENTS));
        assert!(!sealed(MAX_COMPONENTS + 1));
    }
}
