//! The environments of every function, as Lambda would keep them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::select_all;
use serde_json::Value;
use tokio::sync::OwnedMutexGuard;

use crate::environment::{Environment, EnvironmentSpec, InvokeError};

type Factory = dyn Fn(&str, usize) -> EnvironmentSpec + Send + Sync;

/// Warm environments per function, started when first needed. Each serves one invocation at a time.
pub struct Fleet {
    factory: Box<Factory>,
    limit: usize,
    pools: Mutex<HashMap<String, Pool>>,
}

type Pool = Arc<Vec<Arc<Slot>>>;

/// Place of one environment. An environment that has ended is replaced at the next use of its place.
struct Slot {
    index: usize,
    busy: Arc<tokio::sync::Mutex<()>>,
    current: Mutex<Option<Arc<Environment>>>,
}

impl Fleet {
    /// At most `limit` environments per function, each made after `factory(function, index)`.
    pub fn new(limit: usize, factory: impl Fn(&str, usize) -> EnvironmentSpec + Send + Sync + 'static) -> Self {
        Self { factory: Box::new(factory), limit: limit.max(1), pools: Mutex::default() }
    }

    /// Invokes the function in a free environment: a warm one if there is any, else a new one, else the first to finish.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, InvokeError> {
        self.invoke_with(function, event, None, None).await
    }

    /// Invokes the function in the environment with this index, after whatever it is doing.
    pub async fn invoke_on(&self, function: &str, index: usize, event: &Value) -> Result<Value, InvokeError> {
        self.invoke_with(function, event, Some(index), None).await
    }

    /// [`invoke`](Self::invoke), with the choice of environment and timeout open.
    pub async fn invoke_with(
        &self,
        function: &str,
        event: &Value,
        index: Option<usize>,
        timeout: Option<Duration>,
    ) -> Result<Value, InvokeError> {
        let pool = self.pool(function);
        let (slot, _lease) = match index {
            Some(index) => {
                let slot = place(&pool, index);
                let lease = Arc::clone(&slot.busy).lock_owned().await;
                (slot, lease)
            }
            None => free_slot(&pool).await,
        };
        let environment = self.occupy(function, &slot).await;
        match timeout {
            Some(timeout) => environment.invoke_within(event, timeout).await,
            None => environment.invoke(event).await,
        }
    }

    /// The environment with this index, started if it is not running.
    pub async fn environment(&self, function: &str, index: usize) -> Arc<Environment> {
        let slot = place(&self.pool(function), index);
        self.occupy(function, &slot).await
    }

    /// What the environment of a function with this index is made of.
    pub fn specification(&self, function: &str, index: usize) -> EnvironmentSpec {
        (self.factory)(function, index)
    }

    /// The running environments of a function.
    pub fn running(&self, function: &str) -> Vec<Arc<Environment>> {
        self.pool(function).iter().filter_map(|slot| slot.running()).collect()
    }

    /// Kills every environment of a function: its next invocation is a cold start.
    pub async fn recycle(&self, function: &str) {
        for environment in self.running(function) {
            environment.kill9().await;
        }
    }

    /// Kills every environment of every function.
    pub async fn recycle_all(&self) {
        let functions: Vec<String> = self.pools.lock().unwrap().keys().cloned().collect();
        for function in functions {
            self.recycle(&function).await;
        }
    }

    fn pool(&self, function: &str) -> Pool {
        let mut pools = self.pools.lock().unwrap();
        let pool = pools.entry(function.to_owned()).or_insert_with(|| {
            let slots =
                (0..self.limit).map(|index| Arc::new(Slot { index, busy: Arc::default(), current: Mutex::default() }));
            Arc::new(slots.collect())
        });
        Arc::clone(pool)
    }

    async fn occupy(&self, function: &str, slot: &Slot) -> Arc<Environment> {
        if let Some(environment) = slot.running() {
            return environment;
        }
        let environment = Arc::new(Environment::spawn((self.factory)(function, slot.index)).await);
        let mut current = slot.current.lock().unwrap();
        // Of two callers that found the place empty, one wins and the other's process ends with its drop.
        match current.as_ref().filter(|existing| existing.is_running()) {
            Some(existing) => Arc::clone(existing),
            None => Arc::clone(current.insert(environment)),
        }
    }
}

impl Slot {
    fn running(&self) -> Option<Arc<Environment>> {
        self.current.lock().unwrap().as_ref().filter(|environment| environment.is_running()).cloned()
    }
}

fn place(pool: &Pool, index: usize) -> Arc<Slot> {
    let slot = pool.get(index);
    Arc::clone(slot.unwrap_or_else(|| panic!("environment {index} is beyond the limit of {}", pool.len())))
}

async fn free_slot(pool: &Pool) -> (Arc<Slot>, OwnedMutexGuard<()>) {
    let free = |slot: &Arc<Slot>| {
        let lease = Arc::clone(&slot.busy).try_lock_owned().ok()?;
        Some((Arc::clone(slot), lease))
    };
    let warm = pool.iter().filter(|slot| slot.running().is_some()).find_map(free);
    if let Some(found) = warm.or_else(|| pool.iter().find_map(free)) {
        return found;
    }
    let waiting = pool.iter().map(|slot| Box::pin(Arc::clone(&slot.busy).lock_owned()));
    let (lease, position, _) = select_all(waiting).await;
    (Arc::clone(&pool[position]), lease)
}
