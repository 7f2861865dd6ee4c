//! The shipping side: crossbeam, parking_lot and std.

pub(crate) use parking_lot::{Mutex, MutexGuard};

/// `parking_lot::Condvar`, with the one waiting form that has a deadline narrowed to "did it run out".
#[derive(Debug, Default)]
pub(crate) struct Condvar(parking_lot::Condvar);

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar(parking_lot::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.0.wait(guard);
    }

    /// Waits until notified or until `deadline`; `None` never runs out. Returns whether the time ran out.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Option<std::time::Instant>) -> bool {
        match deadline {
            Some(deadline) => self.0.wait_until(guard, deadline).timed_out(),
            None => {
                self.0.wait(guard);
                false
            }
        }
    }

    /// Waits until notified, until `tick` or until `deadline`.
    pub(crate) fn wait_ticking<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        tick: Option<std::time::Instant>,
        deadline: Option<std::time::Instant>,
    ) {
        self.wait_until(guard, deadline.into_iter().chain(tick).min());
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
}

pub(crate) mod channel {
    //! crossbeam's channels, and a receive from whichever of two has something.

    pub(crate) use crossbeam_channel::{Receiver, RecvError, SendError, Sender, TrySendError, bounded, unbounded};

    /// Blocks until there is a message; fails if there will be none.
    pub(crate) fn recv<T>(receiver: &Receiver<T>) -> Result<T, RecvError> {
        receiver.recv()
    }

    /// Sends, waiting for room; fails if nobody receives.
    pub(crate) fn send<T>(sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        sender.send(message)
    }

    /// Sends if there is room and somebody receives.
    pub(crate) fn try_send<T>(sender: &Sender<T>, message: T) -> Result<(), TrySendError<T>> {
        sender.try_send(message)
    }

    /// Blocks until there is a message, which it takes, or until `deadline`; `None` never runs out. Returns false if the time
    /// ran out.
    pub(crate) fn wait_for<T>(receiver: &Receiver<T>, deadline: Option<std::time::Instant>) -> bool {
        match deadline {
            Some(deadline) => !matches!(receiver.recv_deadline(deadline), Err(error) if error.is_timeout()),
            None => {
                let _ = receiver.recv();
                true
            }
        }
    }

    /// The next message if there is one; else whether there will be none.
    pub(crate) fn try_next<T>(receiver: &Receiver<T>) -> Result<T, bool> {
        receiver.try_recv().map_err(|error| error.is_disconnected())
    }

    /// Sends, waiting for room, unless nobody receives or `cut` has a message or is disconnected; then the message comes back.
    pub(crate) fn send_unless<T>(sender: &Sender<T>, message: T, cut: &Receiver<()>) -> Result<(), T> {
        let message = match sender.try_send(message) {
            Ok(()) => return Ok(()),
            Err(refused) if refused.is_disconnected() => return Err(refused.into_inner()),
            Err(full) => full.into_inner(),
        };
        let mut select = crossbeam_channel::Select::new();
        let send = select.send(sender);
        select.recv(cut);
        let chosen = select.select();
        if chosen.index() == send {
            return chosen.send(sender, message).map_err(|refused| refused.0);
        }
        let _ = chosen.recv(cut);
        Err(message)
    }

    /// Receives, waiting, unless all senders are gone or `cut` has a message or is disconnected.
    pub(crate) fn recv_unless<T>(receiver: &Receiver<T>, cut: &Receiver<()>) -> Result<T, RecvError> {
        crossbeam_channel::select! {
            recv(receiver) -> message => message,
            recv(cut) -> _ => Err(RecvError),
        }
    }

    /// A channel, whatever its messages.
    pub trait Watched {
        fn add<'a>(&'a self, select: &mut crossbeam_channel::Select<'a>);
    }

    impl<T> Watched for Receiver<T> {
        fn add<'a>(&'a self, select: &mut crossbeam_channel::Select<'a>) {
            select.recv(self);
        }
    }

    /// Waits until the bell, whose ring is taken, or one of the others has a message or is disconnected.
    pub(crate) fn wait_any(bell: &Receiver<()>, others: &[&dyn Watched]) {
        let mut select = crossbeam_channel::Select::new();
        let rung = select.recv(bell);
        others.iter().for_each(|other| other.add(&mut select));
        if select.ready() == rung {
            let _ = bell.try_recv();
        }
    }

    /// What [`recv_either`] received, and from which side.
    #[derive(Debug)]
    pub(crate) enum Either<A, B> {
        First(A),
        Second(B),
    }

    /// Blocks until one of the two has a message; fails once both are disconnected and empty.
    pub(crate) fn recv_either<A, B>(a: &Receiver<A>, b: &Receiver<B>) -> Result<Either<A, B>, RecvError> {
        crossbeam_channel::select! {
            recv(a) -> message => match message {
                Ok(message) => Ok(Either::First(message)),
                Err(RecvError) => b.recv().map(Either::Second),
            },
            recv(b) -> message => match message {
                Ok(message) => Ok(Either::Second(message)),
                Err(RecvError) => a.recv().map(Either::First),
            },
        }
    }
}

pub(crate) mod thread {
    //! Named threads, and the little of `std::thread` that the crate needs.

    use std::io;

    #[derive(Debug)]
    pub(crate) struct JoinHandle(std::thread::JoinHandle<()>);

    pub(crate) type ThreadId = std::thread::ThreadId;

    /// Starts a thread. The name must hold no NUL byte.
    pub(crate) fn start(
        name: String,
        stack: Option<usize>,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle> {
        let mut builder = std::thread::Builder::new().name(name);
        if let Some(bytes) = stack {
            builder = builder.stack_size(bytes);
        }
        builder.spawn(body).map(JoinHandle)
    }

    pub(crate) fn id() -> ThreadId {
        std::thread::current().id()
    }

    pub(crate) fn sleep(time: std::time::Duration) {
        std::thread::sleep(time);
    }

    /// Whether this thread unwinds.
    pub(crate) fn panicking() -> bool {
        std::thread::panicking()
    }

    impl JoinHandle {
        pub(crate) fn id(&self) -> ThreadId {
            self.0.thread().id()
        }

        /// Waits until the thread has ended, thread-local destructors included.
        pub(crate) fn join(self) {
            // A worker's body catches every panic of user code; what a thread-local destructor does is not ours.
            let _ = self.0.join();
        }

        pub(crate) fn is_finished(&self) -> bool {
            self.0.is_finished()
        }
    }

    /// Spins while `condition` holds, for a bounded few microseconds.
    pub(crate) fn spin_while(condition: impl Fn() -> bool) {
        for _ in 0..128 {
            if !condition() {
                return;
            }
            std::hint::spin_loop();
        }
    }

    /// Lets other threads run while `condition` holds, so many times at most.
    pub(crate) fn yield_for(times: usize, mut condition: impl FnMut() -> bool) {
        for _ in 0..times {
            if !condition() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// Spins while `condition` holds, for so many turns at most. Turns become longer, from some 20 to some 200 nanoseconds: looking
    /// often takes the cache line away from those who write to it.
    pub(crate) fn spin_for(turns: usize, mut condition: impl FnMut() -> bool) {
        for turn in 0..turns {
            if !condition() {
                return;
            }
            for _ in 0..(1 + turn / 4).min(8) {
                std::hint::spin_loop();
            }
        }
    }
}

/// A `thread_local!` whose value needs no destructor, so that it can be read while a thread's locals are destroyed.
macro_rules! local {
    ($(#[$meta:meta])* $vis:vis static $name:ident: $ty:ty = $value:expr) => {
        ::std::thread_local! { $(#[$meta])* $vis static $name: $ty = const { $value } }
    };
}
pub(crate) use local;
