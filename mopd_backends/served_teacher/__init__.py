"""Frozen teachers behind servers: what engines tell of a teacher, asked in time and put where the loss wants it.

An engine's dialect is a module here that implements `api.TeacherApi`, and its line in `teacher.build`.
"""
