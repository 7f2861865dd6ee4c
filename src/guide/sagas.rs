//! How to run transactions of several steps, undo what was done when one fails, and rebuild the state from events.
//!
//! A *saga* is a transaction over parts that have no common one: stock, payment, shipping. Each step has a *compensation*. If a step fails, the
//! compensations of those before run in reverse order. *Event sourcing* keeps what happened in a log that only grows; the state is what
//! follows from it. *CQRS* separates the side that takes commands from the views that answer questions.
//!
//! | It needs | From fanpool |
//! |---|---|
//! | commands of one order one at a time, in their order | [`key`](crate::FanOutBuilder::key): a strand for each order |
//! | many orders at once | the same: other keys go on |
//! | a step that may work next time | [`Retry::call`](crate::Retry::call) around the step, or [`retry`](crate::FanOutBuilder::retry) if the whole handler may run again |
//! | a view, built by one thread without locks | the [`Output`](crate::Output): iterate it, or [`for_each`](crate::Output::for_each) |
//! | views in the order of the commands | [`ordered`](crate::FanOutBuilder::ordered) |
//! | commands that survive the process | a broker: [`connect`](crate::connect), at least once |
//! | what could not even be compensated | `Err`, and [`dead_letter`](crate::FanOutBuilder::dead_letter): somebody has to look |
//! | a durable log | **nothing**: a file or a database of yours |
//!
//! # A shop
//!
//! Orders reserve stock, charge a card and ship. Since a strand handles the commands of an order one at a time, its handler may read the order's
//! state, act, and write events, without a lock over all of it. The log's lock is held for a push alone.
//!
//! ```
//! use fanpool::FanOut;
//! use std::collections::BTreeMap;
//! use std::convert::Infallible;
//! use std::sync::{Arc, Mutex};
//!
//! #[derive(Debug, Clone, Copy, PartialEq)]
//! enum Step {
//!     Reserve,
//!     Charge,
//!     Ship,
//! }
//!
//! /// What has happened. Events are added, and never changed.
//! #[derive(Debug, Clone, Copy, PartialEq)]
//! enum Event {
//!     Placed { amount: i64, address: &'static str },
//!     Did(Step),
//!     Failed(Step),
//!     Undid(Step),
//!     Closed,
//! }
//!
//! enum Command {
//!     Place { amount: i64, address: &'static str },
//!     Cancel,
//! }
//!
//! /// What follows from the events of an order.
//! #[derive(Debug, Clone, Default, PartialEq)]
//! struct Order {
//!     amount: i64,
//!     address: &'static str,
//!     done: Vec<Step>,
//!     failed: Option<Step>,
//!     closed: bool,
//! }
//!
//! impl Order {
//!     fn apply(&mut self, event: Event) {
//!         match event {
//!             Event::Placed { amount, address } => (self.amount, self.address) = (amount, address),
//!             Event::Did(step) => self.done.push(step),
//!             Event::Failed(step) => self.failed = Some(step),
//!             Event::Undid(step) => assert_eq!(self.done.pop(), Some(step), "in reverse order"),
//!             Event::Closed => self.closed = true,
//!         }
//!     }
//! }
//!
//! type Log = Vec<(u32, Event)>;
//!
//! fn replay(log: &[(u32, Event)]) -> BTreeMap<u32, Order> {
//!     let mut orders = BTreeMap::<u32, Order>::new();
//!     log.iter().for_each(|(id, event)| orders.entry(*id).or_default().apply(*event));
//!     orders
//! }
//!
//! /// The services around: what they hold when these orders are as they are.
//! #[derive(Debug, Clone, PartialEq)]
//! struct World {
//!     stock: i64,
//!     paid: i64,
//!     shipped: i64,
//! }
//!
//! impl World {
//!     fn of(orders: &BTreeMap<u32, Order>) -> World {
//!         let mut world = World { stock: 10, paid: 0, shipped: 0 };
//!         orders.values().for_each(|order| order.done.iter().for_each(|step| world.change(*step, order.amount, 1)));
//!         world
//!     }
//!     fn change(&mut self, step: Step, amount: i64, by: i64) {
//!         match step {
//!             Step::Reserve => self.stock -= by,
//!             Step::Charge => self.paid += by * amount,
//!             Step::Ship => self.shipped += by,
//!         }
//!     }
//! }
//!
//! struct Shop {
//!     log: Mutex<Log>,
//!     world: Mutex<World>,
//! }
//!
//! impl Shop {
//!     /// As it is after these events.
//!     fn open(log: Log) -> Shop {
//!         let world = World::of(&replay(&log));
//!         Shop { log: Mutex::new(log), world: Mutex::new(world) }
//!     }
//!
//!     fn record(&self, id: u32, order: &mut Order, event: Event) {
//!         self.log.lock().unwrap().push((id, event));
//!         order.apply(event);
//!     }
//!
//!     fn act(&self, step: Step, order: &Order) -> Result<(), &'static str> {
//!         let mut world = self.world.lock().unwrap();
//!         match step {
//!             Step::Reserve if world.stock == 0 => Err("sold out"),
//!             Step::Charge if order.amount > 100 => Err("card declined"),
//!             Step::Ship if order.address == "nowhere" => Err("no such address"),
//!             step => Ok(world.change(step, order.amount, 1)),
//!         }
//!     }
//!
//!     /// Undoes what the events say was done, the last first.
//!     fn compensate(&self, id: u32, order: &mut Order) {
//!         while let Some(step) = order.done.last().copied() {
//!             self.world.lock().unwrap().change(step, order.amount, -1);
//!             self.record(id, order, Event::Undid(step));
//!         }
//!         self.record(id, order, Event::Closed);
//!     }
//!
//!     fn handle(&self, id: u32, command: Command) -> Order {
//!         let known = replay(&self.log.lock().unwrap()).remove(&id);
//!         match (known, command) {
//!             (None, Command::Place { amount, address }) => {
//!                 let mut order = Order::default();
//!                 self.record(id, &mut order, Event::Placed { amount, address });
//!                 for step in [Step::Reserve, Step::Charge, Step::Ship] {
//!                     if self.act(step, &order).is_err() {
//!                         self.record(id, &mut order, Event::Failed(step));
//!                         self.compensate(id, &mut order);
//!                         break;
//!                     }
//!                     self.record(id, &mut order, Event::Did(step));
//!                 }
//!                 order
//!             }
//!             (Some(mut order), Command::Cancel) if !order.closed => {
//!                 self.compensate(id, &mut order);
//!                 order
//!             }
//!             // A command that was delivered twice, or comes too late, changes nothing.
//!             (known, _) => known.unwrap_or_default(),
//!         }
//!     }
//! }
//!
//! let shop = Arc::new(Shop::open(Vec::new()));
//! let handler = shop.clone();
//! let (input, output) = FanOut::builder(move |(id, command)| Ok::<_, Infallible>((id, handler.handle(id, command))))
//!     .workers(4)
//!     .key(|(id, _): &(u32, Command)| *id)
//!     .ordered()
//!     .start()?;
//! let place = |amount, address| Command::Place { amount, address };
//! input.send((1, place(30, "mill lane")))?;
//! input.send((2, place(500, "mill lane")))?; // More than the card has.
//! input.send((3, place(40, "nowhere")))?; // Charged before that is found out.
//! input.send((4, place(50, "high street")))?;
//! input.send((4, Command::Cancel))?; // Sees all that the line before did.
//! input.send((1, place(30, "mill lane")))?; // Again.
//! drop(input);
//!
//! // The view: this thread alone builds it.
//! let mut view = BTreeMap::new();
//! for outcome in output {
//!     let (id, order) = outcome.result?;
//!     view.insert(id, order);
//! }
//!
//! let log = shop.log.lock().unwrap().clone();
//! let of = |id: u32| log.iter().filter(|(of, _)| *of == id).map(|(_, event)| *event).collect::<Vec<_>>();
//! use {Event::*, Step::*};
//! assert_eq!(of(1)[1..], [Did(Reserve), Did(Charge), Did(Ship)]);
//! assert_eq!(of(2)[1..], [Did(Reserve), Failed(Charge), Undid(Reserve), Closed]);
//! assert_eq!(of(3)[1..], [Did(Reserve), Did(Charge), Failed(Ship), Undid(Charge), Undid(Reserve), Closed]);
//! assert_eq!(of(4)[4..], [Undid(Ship), Undid(Charge), Undid(Reserve), Closed]);
//!
//! // One order is in force: one piece, and its price.
//! assert_eq!(*shop.world.lock().unwrap(), World { stock: 9, paid: 30, shipped: 1 });
//!
//! // Replay gives the same state, however often: what the view has, and what the world has.
//! assert_eq!(replay(&log), view);
//! assert_eq!(World::of(&replay(&log)), *shop.world.lock().unwrap());
//!
//! // Killed after any event: what was under way is undone, and nothing stays half-done.
//! for cut in 0..=log.len() {
//!     let shop = Shop::open(log[..cut].to_vec());
//!     for (id, order) in replay(&log[..cut]) {
//!         if !order.closed && order.done != [Reserve, Charge, Ship] {
//!             shop.handle(id, Command::Cancel);
//!         }
//!     }
//!     let orders = replay(&shop.log.lock().unwrap());
//!     assert!(orders.values().all(|order| order.done.len() == if order.closed { 0 } else { 3 }));
//!     assert_eq!(World::of(&orders), *shop.world.lock().unwrap());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An order that was undone is an outcome, not an error: the shop is as it should be. `Err` is for what needs another attempt or a person.
//!
//! # Serial for one order, parallel for several
//!
//! ```
//! use fanpool::FanOut;
//! use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
//! use std::sync::{Arc, Barrier};
//!
//! let meeting = Barrier::new(2);
//! let busy = [const { AtomicBool::new(false) }; 2];
//! let handler = move |(order, command): (usize, u32)| {
//!     let alone = !busy[order].swap(true, SeqCst);
//!     meeting.wait(); // Goes on once the other order is here, too.
//!     busy[order].store(false, SeqCst);
//!     if alone { Ok(command) } else { Err("two commands of one order at once") }
//! };
//! let (input, output) = FanOut::builder(handler).workers(2).key(|(order, _): &(usize, u32)| *order).start()?;
//! for command in 0..20 {
//!     input.send((0, command))?;
//!     input.send((1, command))?;
//! }
//! drop(input);
//! let (done, failed) = output.partition();
//! assert_eq!((done.len(), failed.len()), (40, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What to mind in earnest
//!
//! * *Write the event before the next step, and make it durable.* The example's log is memory.
//! * *Between a step and its event the process may be killed.* Then the step was done and the log does not say so. Write the intention first,
//!   and give each call a key (order and step) by which the other side knows that it was made already. Calls, and compensations, must be
//!   *idempotent*: a broker delivers at least once, and a recovery may undo twice.
//! * *A compensation that fails is tried until it works.* It has no compensation. Use [`Retry`](crate::Retry) with a long `max_elapsed`, then a dead letter, then a person.
//! * *Others see what is later undone.* A saga is not isolated: stock is reserved, and then it is not. Order the steps so that what cannot be undone comes last.
//! * *A long log is slow to replay.* Keep a snapshot of the state and the number of its last event, and replay the rest. Here each command replays the
//!   whole log, which no real one should: keep the orders in a map.
//! * *Strands are of one process.* Over several machines the broker has to send all commands of an order to one consumer: Kafka does so by the message's key.
