//! AES-256-SIV ([RFC 5297](https://www.rfc-editor.org/rfc/rfc5297)) on the block cipher of the crate `aes`, as the crate `aes-siv` computes it, in half the
//! time: what depends on the key alone (key schedules, the subkeys of CMAC, the begin of S2V) is made once a key and not once a
//! value, and what is authenticated stays in registers.

use aes::Aes256Enc;
use aes::cipher::consts::U16;
use aes::cipher::{
    Array, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, InnerIvInit, Key, KeyInit,
    StreamCipherCore,
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

type Block = Array<u8, U16>;
/// The synthetic initialization vector, which is the authentication tag too.
pub(super) type Tag = [u8; BLOCK_BYTES];
type Counter<'a, C> = ctr::CtrCore<&'a C, ctr::flavors::Ctr128BE>;
/// A block cipher that SIV can work with: AES with any length of key.
pub(super) trait Cipher: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit {}
impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit> Cipher for C {}

const BLOCK_BYTES: usize = 16;
/// How many components of associated data the RFC allows beside a nonce, which is the last of them.
const MAX_COMPONENTS: usize = 126;

/// The cipher did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SivError {
    /// There are more than 126 components.
    TooManyComponents,
    /// The value or its associated data is not what was sealed, or not under this key.
    NotAuthentic,
}

/// A key, ready for use. It is wiped when dropped.
pub(super) struct Siv<C = Aes256Enc> {
    mac: Mac<C>,
    encryption: C,
}

/// The half of the key that authenticates.
struct Mac<C> {
    cipher: C,
    /// The subkeys of CMAC (NIST SP 800-38B), for messages that end with a whole block and for others.
    subkeys: Zeroizing<[Tag; 2]>,
    /// The CMAC of a block of zeros, with which S2V begins.
    begin: Zeroizing<Tag>,
}

impl<C: Cipher> Siv<C> {
    /// The key of two halves: one authenticates, one encrypts.
    pub(super) fn new(mac: &Key<C>, encryption: &Key<C>) -> Self {
        let cipher = C::new(mac);
        let encrypted = |block: Tag| -> Tag {
            let mut block = Block::from(block);
            cipher.encrypt_block(&mut block);
            block.into()
        };
        let whole = doubled(encrypted(Tag::default()));
        let (subkeys, begin) = (Zeroizing::new([whole, doubled(whole)]), Zeroizing::new(encrypted(whole)));
        Self { mac: Mac { cipher, subkeys, begin }, encryption: C::new(encryption) }
    }

    /// Encrypts `buffer` in its place.
    pub(super) fn seal<'a>(
        &self,
        components: impl IntoIterator<Item = &'a [u8]>,
        buffer: &mut [u8],
    ) -> Result<Tag, SivError> {
        let tag = self.mac.s2v(components, buffer)?;
        self.xor_with_keystream(tag, buffer);
        Ok(tag)
    }

    /// Decrypts `buffer` in its place. If it is not authentic, nothing of what was decrypted stays in it.
    pub(super) fn open<'a>(
        &self,
        components: impl IntoIterator<Item = &'a [u8]>,
        buffer: &mut [u8],
        tag: Tag,
    ) -> Result<(), SivError> {
        self.xor_with_keystream(tag, buffer);
        let is_authentic = self.mac.s2v(components, buffer).map(|computed| computed.ct_eq(&tag).into());
        match is_authentic {
            Ok(true) => Ok(()),
            Ok(false) => {
                buffer.zeroize();
                Err(SivError::NotAuthentic)
            }
            Err(error) => {
                buffer.zeroize();
                Err(error)
            }
        }
    }

    fn xor_with_keystream(&self, tag: Tag, buffer: &mut [u8]) {
        let mut counter = u128::from_be_bytes(tag);
        // The top bits of the last two 32-bit words are cleared, so that counters of 32 and 64 bits do, too (section 2.5).
        counter &= !((1 << 63) | (1 << 31));
        Counter::inner_iv_init(&self.encryption, &counter.to_be_bytes().into()).apply_keystream_partial(buffer.into());
    }
}

impl<C: Cipher> Mac<C> {
    /// S2V: one tag of all components and the value, each apart from the others (section 2.4).
    fn s2v<'a>(&self, components: impl IntoIterator<Item = &'a [u8]>, value: &[u8]) -> Result<Tag, SivError> {
        let mut tag = Err(SivError::TooManyComponents);
        self.cipher.encrypt_with_backend(S2v { mac: self, components: components.into_iter(), value, tag: &mut tag });
        tag
    }
}

/// One computation of S2V. As a whole it is a closure of the cipher's, whose code is then in one piece: the state of the MAC
/// stays in registers, and the processor works on several short components at a time.
struct S2v<'s, C, I> {
    mac: &'s Mac<C>,
    components: I,
    value: &'s [u8],
    tag: &'s mut Result<Tag, SivError>,
}

impl<C, I> BlockSizeUser for S2v<'_, C, I> {
    type BlockSize = U16;
}

impl<'a, C, I: Iterator<Item = &'a [u8]>> BlockCipherEncClosure for S2v<'_, C, I> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { mac, components, value, tag } = self;
        let mut sum = Zeroizing::new(*mac.begin);
        for (position, component) in components.enumerate() {
            if position == MAX_COMPONENTS {
                return;
            }
            let (blocks, last) = split_last_block(component);
            *sum = xor(doubled(*sum), finish(backend, mac, chain(backend, Tag::default(), blocks), last));
        }
        let (blocks, last) = split_last_block(value);
        *tag = Ok(match blocks.split_last() {
            // A value shorter than a block is padded and joined to the sum.
            None if last.len() < BLOCK_BYTES => {
                let sum = xor(doubled(*sum), padded(last));
                finish(backend, mac, Tag::default(), &sum)
            }
            None => finish(backend, mac, Tag::default(), &xor_end(&Tag::default(), last, *sum).1),
            // The sum is joined to the last 16 bytes, which can begin in the block before the last one.
            Some((before, blocks)) => {
                let (before, last_block) = xor_end(before, last, *sum);
                let state = chain(backend, chain(backend, Tag::default(), blocks), &[before]);
                finish(backend, mac, state, last_block.get(..last.len()).unwrap_or_default())
            }
        });
    }
}

/// The whole blocks of a message, and its last one of 1 to 16 bytes; none of an empty message.
#[inline(always)]
fn split_last_block(message: &[u8]) -> (&[Tag], &[u8]) {
    let whole = message.len().saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES;
    let (blocks, last) = message.split_at_checked(whole).unwrap_or((&[], message));
    (blocks.as_chunks().0, last)
}

/// CMAC so far, after `blocks`.
#[inline(always)]
fn chain<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, state: Tag, blocks: &[Tag]) -> Tag {
    blocks.iter().fold(state, |state, block| encrypt(backend, xor(state, *block)))
}

/// The CMAC of a message whose last block is `last`.
#[inline(always)]
fn finish<B: BlockCipherEncBackend<BlockSize = U16>, C>(backend: &B, mac: &Mac<C>, state: Tag, last: &[u8]) -> Tag {
    let [whole, partial] = &*mac.subkeys;
    let last = match last.try_into() {
        Ok(last) => xor(last, *whole),
        Err(_) => xor(padded(last), *partial),
    };
    encrypt(backend, xor(state, last))
}

#[inline(always)]
fn encrypt<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, block: Tag) -> Tag {
    let mut block = Block::from(block);
    backend.encrypt_block((&mut block).into());
    block.into()
}

/// Less than a block, with a one bit and zeros behind it.
#[inline(always)]
fn padded(last: &[u8]) -> Tag {
    let mut block = Tag::default();
    let bytes = last.iter().copied().chain([0x80]);
    block.iter_mut().zip(bytes).for_each(|(padded, byte)| *padded = byte);
    block
}

/// The last two blocks of a message, the second of which may be partial, with `sum` joined to the last 16 bytes of them.
#[inline(always)]
fn xor_end(before: &Tag, last: &[u8], sum: Tag) -> (Tag, Tag) {
    let mut both = [*before, Tag::default()];
    let bytes = both.as_flattened_mut();
    bytes.iter_mut().skip(BLOCK_BYTES).zip(last).for_each(|(byte, last)| *byte = *last);
    bytes.iter_mut().skip(last.len()).zip(sum).for_each(|(byte, sum)| *byte ^= sum);
    let [before, last] = both;
    (before, last)
}

#[inline(always)]
fn xor(a: Tag, b: Tag) -> Tag {
    (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
}

/// Multiplied by x in the field of S2V and CMAC, in the same time for all values.
#[inline(always)]
fn doubled(block: Tag) -> Tag {
    let block = u128::from_be_bytes(block);
    ((block << 1) ^ (0x87 * (block >> 127))).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use aes::Aes128Enc;
    use aes_siv::siv::Aes256Siv;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn siv(byte: u8) -> Siv {
        Siv::new(&[byte; 32].into(), &[byte ^ 0xff; 32].into())
    }

    fn parts(components: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
        components.iter().map(Vec::as_slice)
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("a hex digit")).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
    }

    #[test]
    fn it_is_that_of_rfc_5297() {
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
            let key = bytes(key);
            let half = |bytes: &[u8]| <[u8; 16]>::try_from(bytes).expect("16 bytes").into();
            let siv = Siv::<Aes128Enc>::new(&half(&key[..16]), &half(&key[16..]));
            let mut buffer = bytes(plaintext);
            let tag = siv.seal(parts(&components), &mut buffer).expect("few components");
            assert_eq!([&tag, buffer.as_slice()].concat(), bytes(expected));
            assert_eq!(siv.open(parts(&components), &mut buffer, tag), Ok(()));
            assert_eq!(buffer, bytes(plaintext));
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_crate_aes_siv_computes(
            byte in any::<u8>(),
            components in vec(vec(any::<u8>(), 0..70), 0..20),
            value in vec(any::<u8>(), 0..200),
        ) {
            let key: [u8; 64] = std::array::from_fn(|index| if index < 32 { byte } else { byte ^ 0xff });
            let mut theirs = value.clone();
            let expected = Aes256Siv::new((&key).into())
                .encrypt_inout_detached(&components, theirs.as_mut_slice().into())
                .expect("sealed");
            let mut ours = value.clone();
            let tag = siv(byte).seal(parts(&components), &mut ours).expect("sealed");
            prop_assert_eq!(tag.as_slice(), expected.as_slice());
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(siv(byte).open(parts(&components), &mut ours, tag), Ok(()));
            prop_assert_eq!(ours, value);
        }

        #[test]
        fn what_is_not_authentic_is_wiped(
            value in vec(any::<u8>(), 1..200),
            component in vec(any::<u8>(), 1..40),
            position in any::<prop::sample::Index>(),
            bit in 0_u32..8,
            which in 0..3,
        ) {
            let siv = siv(1);
            let (mut buffer, mut components) = (value, vec![component]);
            let mut tag = siv.seal(parts(&components), &mut buffer).expect("sealed");
            let changed = match which {
                0 => buffer.as_mut_slice(),
                1 => components[0].as_mut_slice(),
                _ => tag.as_mut_slice(),
            };
            let position = position.index(changed.len());
            changed[position] ^= 1_u8 << bit;
            prop_assert_eq!(siv.open(parts(&components), &mut buffer, tag), Err(SivError::NotAuthentic));
            prop_assert!(buffer.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn components_are_limited() {
        let siv = siv(1);
        let components = vec![b"a".to_vec(); MAX_COMPONENTS + 1];
        let sealed = |count: usize| siv.seal(parts(&components[..count]), &mut [1; 4]);
        assert!(sealed(MAX_COMPONENTS).is_ok());
        assert_eq!(sealed(MAX_COMPONENTS + 1), Err(SivError::TooManyComponents));
        let opened = siv.open(parts(&components), &mut [1; 4], [0; 16]);
        assert_eq!(opened, Err(SivError::TooManyComponents));
    }
}
