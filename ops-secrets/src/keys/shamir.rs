//! Shamir's secret sharing over GF(2^8), in the layout of HashiCorp Vault: the values of each byte, then the abscissa.

use zeroize::Zeroizing;

/// Why parts could not be made or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The parts differ in length or are empty.
    #[error("the parts are not of one length")]
    Length,
    /// Two parts are the same.
    #[error("a part came twice")]
    Twice,
    /// The operating system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Multiplies in the field of AES. In constant time: no table is looked up with a secret.
fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0u8, |product, bit| {
        let doubled = (product << 1) ^ ((product >> 7).wrapping_neg() & 0x1b);
        doubled ^ (((b >> bit) & 1).wrapping_neg() & a)
    })
}

/// The inverse: the 254th power.
fn invert(a: u8) -> u8 {
    (0..6).fold(multiply(a, a), |power, _| {
        multiply(multiply(power, power), multiply(a, a))
    })
}

/// Splits a secret into parts of which `threshold` are needed.
pub fn split(
    secret: &[u8],
    parts: usize,
    threshold: usize,
) -> Result<Vec<Zeroizing<Vec<u8>>>, Fault> {
    let mut coefficients = Zeroizing::new(vec![0u8; threshold - 1]);
    let mut out: Vec<Zeroizing<Vec<u8>>> = (0..parts)
        .map(|_| Zeroizing::new(Vec::with_capacity(secret.len() + 1)))
        .collect();
    for byte in secret {
        let count = rustix::rand::getrandom(
            coefficients.as_mut_slice(),
            rustix::rand::GetRandomFlags::empty(),
        );
        if count != Ok(threshold - 1) {
            return Err(Fault::Random);
        }
        for (x, part) in (1u8..=255).zip(out.iter_mut()) {
            let value = coefficients
                .iter()
                .rev()
                .fold(0, |sum, coefficient| multiply(sum, x) ^ coefficient);
            part.push(multiply(value, x) ^ byte);
        }
    }
    for (x, part) in (1u8..=255).zip(out.iter_mut()) {
        part.push(x);
    }
    Ok(out)
}

/// Joins parts to the secret.
pub fn combine(parts: &[Zeroizing<Vec<u8>>]) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let length = parts.first().map_or(0, |part| part.len());
    if length < 2 || parts.iter().any(|part| part.len() != length) {
        return Err(Fault::Length);
    }
    let abscissas: Vec<u8> = parts.iter().map(|part| part[length - 1]).collect();
    if abscissas
        .iter()
        .enumerate()
        .any(|(index, x)| abscissas[..index].contains(x))
    {
        return Err(Fault::Twice);
    }
    let weights: Vec<u8> = abscissas.iter().map(|x| weight(*x, &abscissas)).collect();
    let byte = |index: usize| {
        parts.iter().zip(&weights).fold(0, |sum, (part, weight)| {
            sum ^ multiply(part[index], *weight)
        })
    };
    Ok(Zeroizing::new((0..length - 1).map(byte).collect()))
}

/// Lagrange's weight of a point for the value at zero.
fn weight(x: u8, all: &[u8]) -> u8 {
    all.iter()
        .filter(|other| **other != x)
        .fold(1, |product, other| {
            multiply(product, multiply(*other, invert(x ^ other)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_that_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert!((1..=255).all(|a| multiply(a, invert(a)) == 1));
    }

    #[test]
    fn any_threshold_of_parts_gives_the_secret_and_fewer_do_not() {
        let secret: Vec<u8> = (0..32).collect();
        let parts = split(&secret, 5, 3).unwrap();
        for chosen in [[0, 1, 2], [4, 2, 0], [1, 3, 4]] {
            let chosen: Vec<_> = chosen.iter().map(|index| parts[*index].clone()).collect();
            assert_eq!(combine(&chosen).unwrap().as_slice(), secret);
        }
        assert_ne!(combine(&parts[..2]).unwrap().as_slice(), secret);
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let parts = split(b"secret", 3, 2).unwrap();
        assert_eq!(
            combine(&[parts[0].clone(), parts[0].clone()]),
            Err(Fault::Twice)
        );
        assert_eq!(
            combine(&[parts[0].clone(), Zeroizing::new(vec![1, 2])]),
            Err(Fault::Length)
        );
    }
}
