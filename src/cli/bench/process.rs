//! What this process used: the peak of its resident memory, as Linux tells it, and the time of its threads on processors,
//! which says more than the clock where other processes are at work too.

use std::fs;
use std::time::Duration;

/// How long this process's threads were on a processor so far; none where the system does not tell it.
pub(super) fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// Lets the peak begin anew at what is resident now. Where the system refuses, the peak is that of the whole process.
pub(super) fn reset_peak() {
    if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
        tracing::debug!(%error, "the peak of the resident memory cannot be reset");
    }
}

/// The peak in megabytes; none where the system does not tell it.
pub(super) fn peak_mb() -> Option<u64> {
    peak_in(&fs::read_to_string("/proc/self/status").ok()?)
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kibibytes * 1024).div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found() {
        assert_eq!(peak_in("Name:\tx\nVmPeak:\t  999999 kB\nVmHWM:\t   97656 kB\nVmRSS:\t 1 kB\n"), Some(100));
        assert_eq!(peak_in("Name:\tx\n"), None);
    }
}
