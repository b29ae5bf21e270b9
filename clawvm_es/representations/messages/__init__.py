"""The renderer of messages: blocks, provider shapes, the framing that counts them, and the check of pairs."""

from clawvm_es.representations.messages.blocks import RENDERERS as RENDERERS
from clawvm_es.representations.messages.blocks import Block as Block
from clawvm_es.representations.messages.blocks import Kind as Kind
from clawvm_es.representations.messages.blocks import Role as Role
from clawvm_es.representations.messages.blocks import Shape as Shape
from clawvm_es.representations.messages.pairs import broken as broken
from clawvm_es.representations.messages.shapes import messages as messages
from clawvm_es.representations.messages.shapes import pieces as pieces
from clawvm_es.representations.messages.shapes import system as system
