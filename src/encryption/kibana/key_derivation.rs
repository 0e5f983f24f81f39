//! PBKDF2-HMAC-SHA-512 (RFC 8018, RFC 2104) for keys of 32 bytes and salts of 64: nearly all of a take-over's time. Every
//! message that it hashes fits one block, which is laid out once here; the general form of the crates spends a good part of
//! the time, and without optimisation nearly all of it, on moving bytes between buffers. The compression function is sha2's.

use sha2::block_api::compress512;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::ciphertext::{SALT_BYTES, ValueKey};

const BLOCK_BYTES: usize = 128;
const HASH_BYTES: usize = 64;

/// The state of a SHA-512 that has read nothing (FIPS 180-4, 5.3.5).
const BEGINNING: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

type Block = Zeroizing<[u8; BLOCK_BYTES]>;

/// HMAC-SHA-512 with one key, its two states after the key's blocks.
struct Mac {
    inner: [u64; 8],
    outer: [u64; 8],
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

impl Mac {
    fn new(secret: &[u8]) -> Self {
        let mut key: Block = Zeroizing::new([0; BLOCK_BYTES]);
        if secret.len() > BLOCK_BYTES {
            key[..HASH_BYTES].copy_from_slice(&Sha512::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        let begun_with = |pad: u8| {
            let mut state = BEGINNING;
            let mut block = key.clone();
            block.iter_mut().for_each(|byte| *byte ^= pad);
            compress512(&mut state, std::slice::from_ref(&*block));
            state
        };
        Self { inner: begun_with(0x36), outer: begun_with(0x5c) }
    }

    /// The MAC of the message that is padded in `block`, put there as one that is padded itself.
    fn of_first(&self, block: &mut Block) {
        let mut state = self.inner;
        compress512(&mut state, std::slice::from_ref(&**block));
        pad(block, HASH_BYTES);
        self.end(state, block);
    }

    /// As [`of_first`](Self::of_first), of a message that is a hash: all of its padding is there.
    fn of_hash(&self, block: &mut Block) {
        let mut state = self.inner;
        compress512(&mut state, std::slice::from_ref(&**block));
        self.end(state, block);
    }

    fn end(&self, inner: [u64; 8], block: &mut Block) {
        write(&inner, block);
        let mut state = self.outer;
        compress512(&mut state, std::slice::from_ref(&**block));
        write(&state, block);
    }
}

fn write(state: &[u64; 8], block: &mut Block) {
    for (bytes, word) in block.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
}

/// Ends a message of `length` bytes, which follows the block of the key.
fn pad(block: &mut Block, length: usize) {
    block[length..].fill(0);
    block[length] = 0x80;
    let bits = 8 * (BLOCK_BYTES + length) as u64;
    block[BLOCK_BYTES - 8..].copy_from_slice(&bits.to_be_bytes());
}

/// The key that `rounds` rounds make of secret and salt.
pub(super) fn derive(secret: &[u8], salt: &[u8; SALT_BYTES], rounds: u32) -> ValueKey {
    let mac = Mac::new(secret);
    let mut block: Block = Zeroizing::new([0; BLOCK_BYTES]);
    // The salt, and the number of the block of output that is made: the first, of which half is the key.
    block[..SALT_BYTES].copy_from_slice(salt);
    block[SALT_BYTES..SALT_BYTES + 4].copy_from_slice(&1_u32.to_be_bytes());
    pad(&mut block, SALT_BYTES + 4);
    mac.of_first(&mut block);
    let mut key: ValueKey = Zeroizing::new([0; 32]);
    let half = key.len();
    key.copy_from_slice(&block[..half]);
    // From here on every message is the hash before.
    for _ in 1..rounds {
        mac.of_hash(&mut block);
        key.iter_mut().zip(block.iter()).for_each(|(key, byte)| *key ^= byte);
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_the_pbkdf2_of_the_crate(
            secret in prop::collection::vec(any::<u8>(), 0..300),
            salt in prop::array::uniform32(any::<u8>()),
            rounds in 1_u32..20,
        ) {
            let salt: [u8; SALT_BYTES] = [salt, salt.map(|byte| !byte)].concat().try_into().expect("64 bytes");
            let mut expected = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha512>(&secret, &salt, rounds, &mut expected);
            prop_assert_eq!(*derive(&secret, &salt, rounds), expected);
        }
    }
}
