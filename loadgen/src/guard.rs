//! Which addresses a contest may flood: what the scoreboard's policy says, which the dashboard asks as well.
//!
//! `stress` takes the operator's word for its URLs; a contest file may come from others.

use flowtest_scoreboard::contest::Policy;
use std::net::IpAddr;

/// Whether the policy lets a contest send load to this address.
pub fn permits(policy: &Policy, address: IpAddr) -> bool {
    policy.judge_ip(address).is_ok()
}
