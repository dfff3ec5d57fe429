# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes OS storage pools on a bouncefs mount."""
