//! Resources that this process used: its peak resident memory, as Linux reports it, and the processor time of its
//! threads. Where other processes run too, processor time says more than elapsed time.

use std::fs;
use std::time::Duration;

/// Returns how long this process's threads have been on a processor; `None` if the system does not report it.
pub(super) fn processor_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// Resets the peak to the memory that is resident now. If the system refuses, the peak stays that of the whole process.
pub(super) fn reset_peak() {
    if let Err(error) = fs::write("/proc/self/clear_refs", "5") {
        tracing::debug!(%error, "the peak of the resident memory cannot be reset");
    }
}

/// Returns the peak in megabytes; `None` if the system does not report it.
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
