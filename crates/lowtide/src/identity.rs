//! Fresh ids: the one place where randomness enters.

use lowtide_core::name::{OwnerId, RunId};

use crate::trouble::Trouble;

/// The id of a run that a person asked for.
pub fn fresh_run_id() -> Result<RunId, Trouble> {
    random().map(RunId::from_bytes)
}

/// Who this process is in the catalog: host and process id for people, randomness because
/// containers share both.
pub fn owner_id() -> Result<OwnerId, Trouble> {
    let random: [u8; 4] = random()?;
    let pid = std::process::id();
    Ok(OwnerId::new(format!(
        "{}-{pid}-{:08x}",
        host(),
        u32::from_be_bytes(random)
    )))
}

fn random<const N: usize>() -> Result<[u8; N], Trouble> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| Trouble::Randomness {
        text: source.to_string(),
    })?;
    Ok(bytes)
}

/// The machine's name as Linux gives it without a library; `HOSTNAME` elsewhere.
fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "host".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_are_fresh() {
        assert_ne!(fresh_run_id().unwrap(), fresh_run_id().unwrap());
        assert_ne!(owner_id().unwrap(), owner_id().unwrap());
    }
}
