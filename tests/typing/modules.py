"""Modules of the package, reached through the package alone."""

import llm

part: llm.parts.TextPart = llm.parts.TextPart("hello")
message: llm.parts.Message = llm.parts.user(part)
shape: llm.serialization.MessageDict = message.to_dict()
model: llm.models.Model | llm.models.KeyModel = llm.get_model()
try:
    print(llm.utils.schema_dsl("name, age int"), llm.embeddings.Collection)
except llm.errors.ModelError as error:
    print(error)
llm.plugins.load_plugins()
print(llm.hookspecs.hookimpl, llm.templates.Template, llm.tools.llm_version())
print(llm.migrations.migrate, llm.embeddings_migrations.embeddings_migrations)
