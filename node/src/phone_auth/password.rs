//! Password hashes: argon2id in PHC form. Slow on purpose: call only where blocking is allowed.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// The fewest and the most bytes of a password. Argon2 takes longer ones; nobody types them.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=256;

/// Random bytes in the form of a hash, with the parameters of [`hash_password`]: an unknown name costs what a known
/// name costs, so that the time of an answer does not tell which names exist.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YhPt5iO9Cz3IcrqAt921tA$37sgOKXMB8Cqp3N1ihLBIevifGNIvvNMsUEPKa/lcKk";

/// A password that gets no hash.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("a password has {min} to {max} bytes, this one has {0}", min = PASSWORD_BYTES.start(), max = PASSWORD_BYTES.end())]
    Length(usize),
    /// HTTP Basic can't carry it.
    #[error("a password has no control characters")]
    ControlCharacter,
    /// The machine gave no random numbers or no memory.
    #[error("cannot hash the password: {0}")]
    Hash(argon2::password_hash::Error),
}

/// The argon2id hash of a new account's password, in PHC form.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    if !PASSWORD_BYTES.contains(&password.len()) {
        return Err(PasswordError::Length(password.len()));
    }
    if password.chars().any(char::is_control) {
        return Err(PasswordError::ControlCharacter);
    }
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).map_err(PasswordError::Hash)?;
    Ok(hash.to_string())
}

/// Whether the password is that of the stored hash; never when there is none, after the same work.
pub(super) fn is_right(password: &str, stored: Option<&str>) -> bool {
    let known = stored.map(PasswordHash::new);
    if let Some(Err(error)) = &known {
        tracing::error!(%error, "an account's stored password hash cannot be read");
    }
    let right = |hash: &PasswordHash| Argon2::default().verify_password(password.as_bytes(), hash).is_ok();
    let Some(Ok(hash)) = known else {
        let nobody = PasswordHash::new(NOBODY).expect("a constant that is a hash");
        std::hint::black_box(right(&nobody));
        return false;
    };
    right(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_right_for_its_password_only() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hash_password("correct horse").unwrap(), "salted");
        assert!(is_right("correct horse", Some(&hash)));
        assert!(!is_right("correct horsE", Some(&hash)));
        assert!(!is_right("", Some(&hash)));
        assert!(!is_right("correct horse", None));
        assert!(!is_right("correct horse", Some("not a hash")));
    }

    #[test]
    fn the_hash_for_unknown_names_costs_what_others_cost() {
        let nobody = PasswordHash::new(NOBODY).unwrap();
        let somebody = PasswordHash::new(&hash_password("correct horse").unwrap()).unwrap();
        assert_eq!(nobody.params, somebody.params);
        assert_eq!(nobody.algorithm, somebody.algorithm);
        assert_eq!(nobody.hash.unwrap().len(), somebody.hash.unwrap().len());
    }

    #[test]
    fn passwords_that_are_no_passwords_get_no_hash() {
        for text in ["", "short", "with\nline end", "with\0nul....", &"x".repeat(257)] {
            assert!(hash_password(text).is_err(), "{text:?}");
        }
    }
}
