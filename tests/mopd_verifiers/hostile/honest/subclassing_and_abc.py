# output: woof
from abc import ABC, abstractmethod


class Animal(ABC):
    @abstractmethod
    def speak(self): ...


class Dog(Animal):
    def speak(self):
        return "woof"


print(Dog().speak())
