"""The DynamoDB tables of template.yaml: what runs locally is what is deployed."""

import yaml

from .steps import Problem

# Logical name in the template -> environment variable of the functions.
TABLES = {
    "ApplicationsTable": "APPLICATIONS_TABLE",
    "KeysTable": "KEYS_TABLE",
    "UsersTable": "USERS_TABLE",
    "DevicesTable": "DEVICES_TABLE",
    "RevocationsTable": "REVOCATIONS_TABLE",
    "DeliveriesTable": "DELIVERIES_TABLE",
    "SubjectKeysTable": "SUBJECT_KEYS_TABLE",
}
TAKEN_OVER = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes")


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short functions (`!Sub`, `!GetAtt`, ...) as one-entry mappings instead of refusing them."""


def _function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {f"!{suffix}": value}


_Loader.add_multi_constructor("!", _function)


def read_tables(path):
    """Logical name -> (arguments of CreateTable without the name, arguments of UpdateTimeToLive or None)."""
    try:
        with open(path, encoding="utf-8") as file:
            resources = yaml.load(file, Loader=_Loader)["Resources"]
    except FileNotFoundError:
        raise Problem(f"{path} is missing: the local tables are made from it") from None
    tables = {}
    for name in TABLES:
        resource = resources.get(name)
        if resource is None or resource.get("Type") != "AWS::DynamoDB::Table":
            raise Problem(f"{path}: {name} is not an AWS::DynamoDB::Table")
        properties = resource["Properties"]
        create = {key: properties[key] for key in TAKEN_OVER if key in properties}
        for key, value in create.items():
            _refuse_functions(path, f"{name}.{key}", value)
        create["BillingMode"] = "PAY_PER_REQUEST"
        lifetime = properties.get("TimeToLiveSpecification")
        if lifetime:
            lifetime = {"Enabled": bool(lifetime["Enabled"]), "AttributeName": lifetime["AttributeName"]}
        tables[name] = (create, lifetime)
    return tables


def _refuse_functions(path, where, value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.startswith("!") or key.startswith("Fn::") or key == "Ref":
                raise Problem(f"{path}: {where} uses {key}, which only a deployment can evaluate")
            _refuse_functions(path, where, inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_functions(path, where, inner)
