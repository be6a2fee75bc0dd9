//! Which writes go to the disk together, and when.

use std::time::Duration;

use lowtide_core::name::RunId;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::{Asked, GROUP_MAX, Open, lock};

/// A group of so many writes is one of a crowd: the next is waited for a moment, so that it is as large. Each
/// transaction costs as much as a dozen of them.
const CROWD: usize = 8;
const LINGER: Duration = Duration::from_millis(1);
/// How long a write that [has time](Write::has_time) lets others go first: little beside the time within which a
/// claim is renewed. What was asked of the platform is on the disk already.
const PATIENCE: Duration = Duration::from_millis(50);
/// How long the end of a run waits for the ends of others, as long as so many as are a crowd are still to come: each
/// touches six pages, and two hundred in a few groups half as many as in a dozen. That is less to be written now, and to
/// be read by whoever opens the catalog next.
const ENDS_WAIT: Duration = Duration::from_millis(10);
/// Longer than a savepoint takes to be accepted, shorter than most take.
const QUIET: Duration = Duration::from_millis(50);

/// What waits to be written.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Receiver<Asked>,
    /// What [has time](super::Write::has_time).
    patient: Vec<Asked>,
    /// Whether the last group was one of a crowd.
    is_crowd: bool,
    open: Open,
}

impl Queue {
    pub(super) fn new(waiting: Receiver<Asked>, open: Open) -> Self {
        Self {
            waiting,
            patient: Vec::new(),
            is_crowd: false,
            open,
        }
    }

    /// Waits for what is to be written next, and adds it to the group; who has time is left for later, as long as
    /// others have none, and [not for long](PATIENCE). False once nobody writes any more.
    pub(super) async fn next(&mut self, group: &mut Vec<Asked>) -> bool {
        if self.is_crowd {
            tokio::time::sleep(LINGER).await;
        }
        if group.is_empty() {
            match self.may_let_others_go_first_for() {
                None => _ = self.waiting.recv_many(group, GROUP_MAX).await,
                Some(left) => _ = timeout(left, self.waiting.recv_many(group, GROUP_MAX)).await,
            }
        }
        self.take_what_is_there(group);
        while let Some(left) = self.waits_for_ends(group) {
            let room = GROUP_MAX - group.len();
            match timeout(left, self.waiting.recv_many(group, room)).await {
                Ok(1..) => self.take_what_is_there(group),
                Ok(0) | Err(_) => break,
            }
        }
        self.let_others_go_first(group);
        self.is_crowd = group.len() >= CROWD;
        let mut open = lock(&self.open);
        for run in group.iter().filter_map(ended) {
            open.remove(&run);
        }
        !group.is_empty()
    }

    fn take_what_is_there(&mut self, group: &mut Vec<Asked>) {
        while group.len() < GROUP_MAX
            && let Ok(asked) = self.waiting.try_recv()
        {
            group.push(asked);
        }
    }

    /// How long a group of nothing but ends waits for others; `None` once it waits no longer.
    fn waits_for_ends(&self, group: &[Asked]) -> Option<Duration> {
        let is_apt = self.patient.is_empty()
            && (1..GROUP_MAX).contains(&group.len())
            && group.iter().all(|asked| asked.write.is_end());
        if !is_apt {
            return None;
        }
        let open = lock(&self.open);
        let ending = group.iter().filter_map(ended);
        let to_come = open.len() - ending.filter(|run| open.contains(run)).count();
        let left = ENDS_WAIT.checked_sub(waited(group)?)?;
        (to_come >= CROWD && !left.is_zero()).then_some(left)
    }

    /// How long who has time waits for others that have none; `None` if nobody has time. Only in a crowd are there
    /// others that come right after those that went.
    fn may_let_others_go_first_for(&self) -> Option<Duration> {
        let waited = waited(&self.patient)?;
        Some(if self.is_crowd {
            PATIENCE.saturating_sub(waited)
        } else {
            Duration::ZERO
        })
    }

    fn let_others_go_first(&mut self, group: &mut Vec<Asked>) {
        let patient = group.extract_if(.., |asked| asked.write.has_time());
        self.patient.extend(patient);
        let is_overdue = waited(&self.patient).is_some_and(|waited| waited >= PATIENCE);
        if group.is_empty() || is_overdue {
            let room = GROUP_MAX - group.len();
            group.extend(self.patient.drain(..room.min(self.patient.len())));
        }
    }

    /// Whether nobody writes for a while; else what is to be written is in the group.
    pub(super) async fn is_quiet(&mut self, group: &mut Vec<Asked>) -> bool {
        let coming = self.waiting.recv_many(group, GROUP_MAX);
        self.patient.is_empty() && tokio::time::timeout(QUIET, coming).await.is_err()
    }
}

fn ended(asked: &Asked) -> Option<RunId> {
    asked.write.ended()
}

/// How long the first of them has waited.
fn waited(all: &[Asked]) -> Option<Duration> {
    all.iter().map(|asked| asked.since.elapsed()).max()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use futures_util::future::join;
    use lowtide_core::run::Phase;
    use tokio::sync::{mpsc, oneshot};

    use super::super::{Step, Write};
    use super::*;
    use crate::tests::records::{key, slot, step};

    /// A step of an application into a phase, that waits since `since`.
    fn asked(application: &str, phase: Phase, since: Instant) -> Asked {
        let run = slot(&key(application), 0);
        let write = Write::Commit(Box::new(Step {
            run: step(&run, phase),
            savepoints: Vec::new(),
            begins: false,
            cap: None,
        }));
        Asked {
            write,
            since,
            reply: oneshot::channel().0,
        }
    }

    /// Which applications' steps are written next, and which are left, where all of these wait.
    async fn gathered(all: Vec<Asked>) -> (Vec<String>, Vec<String>) {
        let (sender, waiting) = mpsc::channel(GROUP_MAX);
        for asked in all {
            sender.send(asked).await.expect("room");
        }
        let (mut queue, mut group) = (Queue::new(waiting, Open::default()), Vec::new());
        assert!(queue.next(&mut group).await);
        let names = |all: &[Asked]| {
            let steps = all.iter().filter_map(|asked| asked.write.plain_step());
            steps
                .map(|step| step.run.application.application.to_string())
                .collect()
        };
        (names(&group), names(&queue.patient))
    }

    #[tokio::test]
    async fn who_has_time_lets_others_go_first() {
        let now = Instant::now();
        let both = vec![
            asked("follows", Phase::Following, now),
            asked("sends", Phase::Triggering, now),
        ];
        let (group, patient) = gathered(both).await;
        assert_eq!(
            (group, patient),
            (vec!["sends".to_owned()], vec!["follows".to_owned()])
        );
    }

    #[tokio::test]
    async fn who_has_time_does_not_wait_for_nobody() {
        let (group, _) = gathered(vec![asked("follows", Phase::Following, Instant::now())]).await;
        assert_eq!(group, ["follows"]);
    }

    #[tokio::test]
    async fn who_has_time_does_not_wait_for_long() {
        let now = Instant::now();
        let long_ago = now
            .checked_sub(PATIENCE)
            .expect("the machine runs for longer");
        let both = vec![
            asked("follows", Phase::Following, long_ago),
            asked("sends", Phase::Triggering, now),
        ];
        let (group, patient) = gathered(both).await;
        assert_eq!(group, ["sends", "follows"]);
        assert!(patient.is_empty());
    }

    #[tokio::test]
    async fn it_ends_when_nobody_can_write_any_more() {
        let mut queue = Queue::new(mpsc::channel(GROUP_MAX).1, Open::default());
        assert!(!queue.next(&mut Vec::new()).await);
    }

    /// The end of one of so many open runs, and the ends of the others right after it: how many are written together,
    /// and after how long.
    async fn ends_together(count: usize) -> (usize, Duration) {
        let begun = tokio::time::Instant::now();
        let ends =
            (0..count).map(|number| asked(&format!("a-{number}"), Phase::Done, Instant::now()));
        let mut ends: Vec<Asked> = ends.collect();
        let open: Open = Arc::new(Mutex::new(ends.iter().filter_map(ended).collect()));
        let (sender, waiting) = mpsc::channel(GROUP_MAX);
        let others = ends.split_off(1);
        for end in ends {
            sender.send(end).await.expect("room");
        }
        let mut queue = Queue::new(waiting, Arc::clone(&open));
        let mut group = Vec::new();
        let later = async {
            tokio::task::yield_now().await;
            for end in others {
                sender.send(end).await.expect("room");
            }
        };
        let (goes_on, ()) = join(queue.next(&mut group), later).await;
        assert!(goes_on);
        assert_eq!(lock(&open).len(), count - group.len());
        (group.len(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_crowd_ends_wait_for_others_and_the_last_ones_do_not() {
        assert_eq!(ends_together(CROWD + 1).await, (CROWD + 1, Duration::ZERO));
        assert_eq!(ends_together(CROWD).await, (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_does_not_wait_for_long() {
        let (sender, waiting) = mpsc::channel(GROUP_MAX);
        let long_ago = Instant::now().checked_sub(ENDS_WAIT);
        let end = asked(
            "ended",
            Phase::Done,
            long_ago.expect("the machine runs for longer"),
        );
        let held = (0..CROWD).map(|number| slot(&key(&format!("held-{number}")), 0).id);
        let open: Open = Arc::new(Mutex::new(held.collect()));
        sender.send(end).await.expect("room");
        let (mut queue, mut group) = (Queue::new(waiting, open), Vec::new());
        let begun = tokio::time::Instant::now();
        assert!(queue.next(&mut group).await);
        assert_eq!((group.len(), begun.elapsed()), (1, Duration::ZERO));
    }
}
