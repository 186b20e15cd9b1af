# SPDX-License-Identifier: Apache-2.0
"""Real environments of each package manager, made by the managers themselves.

What is slow to make is made once per machine and kept (`kept`). `place.Environment` is a project
to work in; `debs`, `wheels`, `rpms`, `pacmans` and `others` make packages and what installs them;
`real` has upgrades of real packages from the registries, with real breakages among them.
"""
