"""The services of a local machine: Redis, PostgreSQL, KMS and DynamoDB on loopback, for `make dev` and `make test`."""
