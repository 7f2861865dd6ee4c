//! Where panics were raised: remembered by a panic hook, for whoever catches the panic on the same thread.

use crate::sync::{OnceLock, local, thread};
use std::any::Any;
use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{self, PanicHookInfo};

/// How much of a file's path is kept, from its end.
const LONGEST: usize = 200;

/// The last panic of a thread. Without a destructor, so that it can be written while the thread's locals are destroyed.
#[derive(Clone, Copy)]
struct Seen {
    /// Tells that panic from another that was raised without the hook.
    payload: u64,
    path: [u8; LONGEST],
    len: usize,
    line: u32,
    column: u32,
}

local! {
    static LAST: Cell<Option<Seen>> = Cell::new(None)
}

/// From now on [`TaskPanicked::location`](crate::TaskPanicked::location) knows where panics are raised. It costs nothing until something panics.
///
/// Sets a panic hook that remembers the place and then calls the hook there was. Call it once, when the program starts and before other
/// hooks are set; a hook that is set later without calling the one before it ends this. A second call does nothing, and so does one from a
/// thread that is panicking, where hooks cannot be set.
///
/// # Examples
///
/// ```
/// use fanpool::{JoinError, Pool};
///
/// fanpool::capture_panic_locations();
/// let joined = Pool::new().submit(|| panic!("no route")).join();
/// let Err(JoinError::Panicked(panicked)) = joined else { unreachable!() };
/// assert!(panicked.location().unwrap().contains(".rs:"));
/// ```
pub fn capture_panic_locations() {
    static SET: OnceLock<()> = OnceLock::new();
    if thread::panicking() {
        return;
    }
    SET.get_or_init(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LAST.with(|last| last.set(see(info)));
            before(info);
        }));
    });
}

/// Where the panic was raised that was just caught on this thread, as `path:line:column`.
pub(crate) fn place_of(payload: &(dyn Any + Send)) -> Option<String> {
    let seen = LAST.with(Cell::take).filter(|seen| seen.payload == fingerprint(payload))?;
    let path = String::from_utf8_lossy(&seen.path[..seen.len]);
    Some(format!("{path}:{}:{}", seen.line, seen.column))
}

fn see(info: &PanicHookInfo<'_>) -> Option<Seen> {
    let location = info.location()?;
    let whole = location.file().as_bytes();
    let kept = &whole[whole.len().saturating_sub(LONGEST)..];
    let mut path = [0; LONGEST];
    path[..kept.len()].copy_from_slice(kept);
    let (line, column) = (location.line(), location.column());
    Some(Seen { payload: fingerprint(info.payload()), path, len: kept.len(), line, column })
}

/// Of the text, or of the type where it is none. (The address will not do: the hook sees a payload that is moved to the heap afterwards.)
fn fingerprint(payload: &dyn Any) -> u64 {
    let mut hasher = DefaultHasher::new();
    match (payload.downcast_ref::<&'static str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text.hash(&mut hasher),
        (_, Some(text)) => text.hash(&mut hasher),
        _ => payload.type_id().hash(&mut hasher),
    }
    hasher.finish()
}
