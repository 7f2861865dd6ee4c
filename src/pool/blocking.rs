//! Telling the pool that a task blocks.

use super::shared::Shared;
use super::station::Station;
use super::worker;
use crate::sync::Arc;

/// Runs `wait`, which blocks for long, and lets the pool of the calling worker use another thread meanwhile.
///
/// If tasks wait and no worker is idle, an elastic pool ([`Workers::Elastic`](crate::Workers::Elastic)) starts a worker at once, without
/// waiting for its `target_wait`, up to its `max`; and it does so as well for a task that comes while all of its workers are in here.
/// When `wait` returns, the thread goes on with its task, whatever the number of the others; those that are not needed leave after the
/// pool's `keep_alive`.
///
/// Elsewhere this is a plain call: on a thread that is no worker, in a thread-local's destructor, and in a pool of fixed size, which then has
/// one worker less until `wait` returns. (Metrics show such a worker as blocked all the same.) Without this function an elastic pool also
/// grows for tasks that block, at one worker in each `target_wait`.
///
/// Calls may be nested; the outermost counts. A panic of `wait` passes through.
///
/// # Examples
///
/// ```
/// use fanpool::{Elastic, Pool};
/// use std::sync::Barrier;
///
/// // Three tasks that wait for each other, on a pool that begins with one worker.
/// let pool = Pool::builder().workers(Elastic::new(1, 8)).build()?;
/// let barrier = Barrier::new(3);
/// pool.scope(|s| {
///     for _ in 0..3 {
///         s.spawn(|| _ = fanpool::blocking(|| barrier.wait()));
///     }
/// });
/// # Ok::<(), fanpool::BuildError>(())
/// ```
pub fn blocking<R>(wait: impl FnOnce() -> R) -> R {
    let _away = Away::begin();
    wait()
}

/// The time in which a worker is away.
struct Away(Option<(Arc<Shared>, Arc<Station>)>);

impl Away {
    fn begin() -> Away {
        let place = worker::place();
        if let Some((pool, station)) = &place {
            if station.change_blocked(1) == 1 {
                pool.set_away(station, true);
            }
        }
        Away(place)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        if let Some((pool, station)) = &self.0 {
            if station.change_blocked(-1) == 0 {
                pool.set_away(station, false);
            }
        }
    }
}
