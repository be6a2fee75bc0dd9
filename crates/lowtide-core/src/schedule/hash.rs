//! `H`: a value that is drawn once from an application's name and then never changes.
//!
//! A fleet whose schedules all say `0 1 * * *` asks everything of the platform at 01:00. `H 1 * *
//! *` spreads it over the hour, and each application keeps its own minute for ever.
//!
//! **The hash is a contract**: changing it moves the savepoints of every fleet. It is
//!
//! ```text
//! SHA-256( "lowtide/schedule/H/1"
//!          ‖ len(platform)    as u64 big-endian ‖ platform    as UTF-8
//!          ‖ len(application) as u64 big-endian ‖ application as UTF-8
//!          ‖ field name as ASCII: "minute", "hour", "day-of-month", "month" or "day-of-week" )
//! ```
//!
//! The first eight bytes, read as a big-endian `u64`, modulo the number of values to choose from,
//! are the draw. The lengths keep (`a`, `bc`) and (`ab`, `c`) apart. The field name makes the
//! draws of one application independent of each other: one checksum for all fields reaches only
//! as many minutes of the day as it has values modulo both 60 and 24 (120 of 1,440).
//! The bias of the modulo is below 2⁻⁵⁸.

use sha2::{Digest, Sha256};

/// Sets these draws apart from every other use of SHA-256, and numbers the version of the rule.
const DOMAIN: &[u8] = b"lowtide/schedule/H/1";

/// Whose schedule it is: what `H` is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashSeed<'a> {
    /// The platform's name in the configuration.
    pub platform: &'a str,
    /// The application's name in the configuration (not the job's name on the platform).
    pub application: &'a str,
}

impl HashSeed<'_> {
    /// Draws one of `count` values (`0..count`) for the field of that name.
    pub(super) fn draw(&self, field: &str, count: u8) -> u8 {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        for name in [self.platform, self.application] {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name.as_bytes());
        }
        hash.update(field.as_bytes());
        let digest = hash.finalize();
        let mut first = [0_u8; 8];
        first.copy_from_slice(&digest[..8]);
        let drawn = u64::from_be_bytes(first) % u64::from(count.max(1));
        u8::try_from(drawn).expect("a remainder below a u8 is a u8")
    }
}
