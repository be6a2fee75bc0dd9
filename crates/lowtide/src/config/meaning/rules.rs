//! The rules of one application: what it says itself, then what `defaults` say, then what Lowtide
//! says; and what contradicts what.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use lowtide_core::policy::{self, Policy};
use lowtide_core::savepoint::Format;
use lowtide_core::schedule::{
    HashSeed, Never, NeverError, Schedule, WINDOWS_MAX, Window, format_duration,
};

use super::super::at::At;
use super::super::problem::Problem;
use super::super::raw::{self, Rules, Text};
use super::Reader;
use super::platforms::{LOCATION_HINT, Traits, absolute_location};

/// The shortest deadline: below it not even one question gets its answer.
const DEADLINE_MIN: SignedDuration = SignedDuration::from_secs(1);
/// The most attempts of a slot: what fails ten times fails an eleventh time.
const ATTEMPTS_MAX: u32 = 10;

/// What an application goes by.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// What `H` is drawn from.
    pub seed: HashSeed<'a>,
    /// The job's name on the platform.
    pub job: &'a str,
    /// What it says itself.
    pub own: Rules<'a>,
    /// What holds where it says nothing.
    pub defaults: Rules<'a>,
    /// The zone of the file.
    pub timezone: Option<&'a Text>,
    /// What its platform is like, where it has one.
    pub platform: Option<Traits>,
}

/// A time to wait, and where it was written, if it was.
#[derive(Clone, Copy)]
struct Wait<'a> {
    key: &'static str,
    length: SignedDuration,
    written: Option<&'a Text>,
}

impl Reader<'_> {
    /// The rules; nothing if something is wrong with them.
    pub(super) fn policy(&mut self, asked: &Asked<'_>) -> Option<Policy> {
        let Asked { own, defaults, .. } = asked;
        let problems = self.problems.len();
        let zone = own.timezone.or(defaults.timezone).or(asked.timezone);
        let zone = zone.map_or(Some(TimeZone::UTC), |name| self.zone(name));
        // What else is wrong is told also where the zone is.
        let zone = zone.unwrap_or(TimeZone::UTC);
        let schedule = self.schedule(asked, &zone);
        let never = self.never(own.never.or(defaults.never), zone)?;
        let format = own.format.or(defaults.format);
        let target = own.target.or(defaults.target);
        if let Some(target) = target {
            self.check_target(target);
        }
        self.refuse_what_the_platform_lacks(asked);
        // What all have by default may be of use to some.
        let target = target.filter(|_| {
            let platform = asked.platform;
            !platform.is_some_and(|platform| platform.chooses_directory)
        });
        let deadline = self.deadline(asked)?;
        let attempts = self.attempts(own.attempts.or(defaults.attempts));
        let patience = self.patience(asked, deadline, schedule.as_ref())?;
        let absent_for = self.absent_for(asked, deadline)?;
        let catch_up = own.catch_up.or(defaults.catch_up);
        let catch_up = catch_up.map_or(Some(policy::CATCH_UP), |text| self.duration(text))?;
        (self.problems.len() == problems).then(|| Policy {
            job: asked.job.to_owned(),
            schedule,
            never,
            format: match format.map(|format| format.value) {
                None | Some(raw::Format::Canonical) => Format::Canonical,
                Some(raw::Format::Native) => Format::Native,
            },
            target: target.map(|target| target.value.clone()),
            deadline: deadline.length,
            attempts,
            patience,
            absent_for,
            catch_up,
            concurrency: asked.platform.map_or(1, |platform| platform.concurrency),
        })
    }

    /// On Ververica Platform nobody else chooses the directory, and how it is asked for the
    /// native format has to be said.
    fn refuse_what_the_platform_lacks(&mut self, asked: &Asked<'_>) {
        let Asked { own, defaults, .. } = asked;
        let Some(platform) = asked.platform else {
            return;
        };
        if let Some(target) = own.target.filter(|_| platform.chooses_directory) {
            self.refuse(
                Problem::new(
                    target.span.clone(),
                    "Ververica Platform chooses the directory of savepoints itself",
                )
                .hint("remove `target`; the deployment's `state.savepoints.dir`, or the platform's Universal Blob Storage, decides"),
            );
        }
        let format = own.format.or(defaults.format);
        let native = format.filter(|format| matches!(format.value, raw::Format::Native));
        if let Some(format) = native.filter(|_| !platform.takes_native) {
            self.refuse(
                Problem::new(
                    format.span.clone(),
                    format!("the platform of `{}` cannot be asked for native savepoints", asked.job),
                )
                .hint("set `native_field:` of the platform (VVP 2.15.8 and later), or `format: canonical` for the application"),
            );
        }
    }

    /// The application's own form of schedule hides either form of the defaults.
    fn schedule(&mut self, asked: &Asked<'_>, zone: &TimeZone) -> Option<Schedule> {
        let Asked { own, defaults, .. } = asked;
        let rules = if own.schedule.is_some() || own.every.is_some() {
            own
        } else {
            defaults
        };
        match (rules.schedule, rules.every) {
            (None, None) => None,
            (Some(schedule), Some(every)) => {
                self.refuse(
                    Problem::new(
                        every.span.clone(),
                        "`schedule` and `every` exclude each other",
                    )
                    .also(schedule.span.clone(), "the schedule")
                    .hint("remove one of the two"),
                );
                None
            }
            (Some(text), None) => {
                let read = Schedule::cron(&text.value, &asked.seed, zone.clone());
                self.taken(text, read)
            }
            (None, Some(text)) => {
                let read = Schedule::every(&text.value, zone.clone());
                self.taken(text, read)
            }
        }
    }

    fn never(&mut self, written: Option<&At<Vec<Text>>>, zone: TimeZone) -> Option<Never> {
        let texts = written.map_or(&[][..], |texts| &texts.value);
        if let Some(extra) = texts.get(WINDOWS_MAX) {
            let found = texts.len();
            self.refuse(Problem::new(
                extra.span.clone(),
                NeverError::TooMany { found }.to_string(),
            ));
            return None;
        }
        let windows = texts
            .iter()
            .filter_map(|text| self.taken(text, Window::parse(&text.value)))
            .collect();
        match Never::new(windows, zone) {
            Ok(never) => Some(never),
            Err(error) => {
                let span = written.map_or(0..0, |texts| texts.span.clone());
                self.refuse(Problem::new(span, error.to_string()));
                None
            }
        }
    }

    fn check_target(&mut self, target: &Text) {
        if let Err(message) = absolute_location(&target.value) {
            self.refuse(Problem::new(target.span.clone(), message).hint(LOCATION_HINT));
        }
    }

    fn wait<'a>(
        &mut self,
        key: &'static str,
        written: Option<&'a Text>,
        default: SignedDuration,
    ) -> Option<Wait<'a>> {
        let length = match written {
            Some(text) => self.duration(text)?,
            None => default,
        };
        Some(Wait {
            key,
            length,
            written,
        })
    }

    fn deadline<'a>(&mut self, asked: &Asked<'a>) -> Option<Wait<'a>> {
        let written = asked.own.deadline.or(asked.defaults.deadline);
        let deadline = self.wait("deadline", written, policy::DEADLINE)?;
        if let Some(text) = written
            && deadline.length < DEADLINE_MIN
        {
            let message = format!("`deadline` is {}; it is at least 1s", text.value);
            self.refuse(Problem::new(text.span.clone(), message));
        }
        Some(deadline)
    }

    fn attempts(&mut self, written: Option<&At<u32>>) -> u32 {
        match written {
            None => policy::ATTEMPTS,
            Some(number) => {
                if !(1..=ATTEMPTS_MAX).contains(&number.value) {
                    self.refuse(Problem::new(
                        number.span.clone(),
                        format!(
                            "`attempts` is {}; it goes from 1 to {ATTEMPTS_MAX}",
                            number.value
                        ),
                    ));
                }
                number.value
            }
        }
    }

    /// Patience must end while there is still time to trigger: otherwise a job that is always
    /// busy never gets a savepoint, which is what patience is there to prevent.
    fn patience(
        &mut self,
        asked: &Asked<'_>,
        deadline: Wait<'_>,
        schedule: Option<&Schedule>,
    ) -> Option<SignedDuration> {
        let written = asked.own.patience.or(asked.defaults.patience);
        let patience = self.wait("patience", written, policy::PATIENCE)?;
        let interval = schedule.map(Schedule::shortest_interval);
        let limit = interval.map_or(deadline.length, |interval| interval.min(deadline.length));
        if written.is_none() {
            return Some(patience.length.min(limit / 2));
        }
        if patience.length >= deadline.length {
            self.refuse_longer(patience, deadline, "a busy job would never get a savepoint");
        } else if let Some(text) = written
            && patience.length >= limit
        {
            let own = asked.own.schedule.or(asked.own.every);
            let schedule = own.or(asked.defaults.schedule).or(asked.defaults.every);
            let mut problem = Problem::new(
                text.span.clone(),
                format!(
                    "`patience` is {}, and the schedule comes every {}: a busy job would never get a savepoint",
                    text.value,
                    format_duration(limit),
                ),
            )
            .hint("patience is shorter than the schedule's shortest interval");
            if let Some(schedule) = schedule {
                problem = problem.also(schedule.span.clone(), "the schedule");
            }
            self.refuse(problem);
        }
        Some(patience.length)
    }

    fn absent_for(&mut self, asked: &Asked<'_>, deadline: Wait<'_>) -> Option<SignedDuration> {
        let written = asked.own.absent_for.or(asked.defaults.absent_for);
        let absent_for = self.wait("absent_for", written, policy::ABSENT_FOR)?;
        if written.is_none() {
            return Some(absent_for.length.min(deadline.length));
        }
        if absent_for.length > deadline.length {
            self.refuse_longer(absent_for, deadline, "the deadline would always come first");
        }
        Some(absent_for.length)
    }

    fn refuse_longer(&mut self, wait: Wait<'_>, deadline: Wait<'_>, why: &str) {
        let Some(text) = wait.written else {
            return;
        };
        let limit = format_duration(deadline.length);
        let key = wait.key;
        let message = format!(
            "`{key}` is {}, and `{}` is {limit}: {why}",
            text.value, deadline.key
        );
        let mut problem = Problem::new(text.span.clone(), message);
        problem = match deadline.written {
            Some(deadline) => problem.also(deadline.span.clone(), "the deadline"),
            None => problem.hint(format!("{limit} is the default of `deadline`")),
        };
        self.refuse(problem);
    }
}
