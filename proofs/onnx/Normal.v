(** * Which operators are one sum

    - [normal_form]: of operators as a file lists them, those that a runtime may evaluate as one sum
      put together. An addition takes in every operand that is itself a sum and that nothing else
      reads; a convolution, the division of its input by a number, if nothing else reads the
      quotient.

    The operators keep their numbers, and so do their units: what has been taken in stands where it
    stood, but nothing reads it. Two convolutions are never composed, and what is added before a
    convolution is not moved behind it.

    [None] where the definition asks for a sum that [node] cannot say: an addition that takes in a
    mean or two convolutions; a quotient of a sum, or one whose division a runtime may carry out
    after what reads it, unless that is one convolution.

    A definition, to be read. Rests on File.v. *)

From Coq Require Import List NArith Arith Bool.
From Lastbit Require Import onnx.File.
Import ListNotations.

Section Normal.
Variable all : list node.                         (* as the file lists them *)

(** How many operators read number [x]; the last one is read by softmax. *)
Definition readers (x : nat) : nat :=
  count_occ Nat.eq_dec (flat_map inputs all) x + (if S x =? length all then 1 else 0).
Definition alone (x : nat) : bool := readers x =? 1.

(** [before]: the operators before this one, in normal form. *)
Section Join.
Variable before : list node.
Definition node_at (x : nat) : node := nth x before (Bytes 0 0 0).

(** An operand of an addition: a convolution, with what is added to it; or tensors. *)
Inductive addend :=
| Convolved (x : nat) (over : option N) (others : list nat) (k : window)
| Tensors (xs : list nat).

Definition addend_of (x : nat) : option addend :=
  if alone x then
    match node_at x with
    | Conv z over others k => Some (Convolved z over others k)
    | Plus zs => Some (Tensors zs)
    | Average _ | Divide _ _ => None
    | _ => Some (Tensors [x])
    end
  else Some (Tensors [x]).

Definition join (n : node) : option node :=
  match n with
  | Plus [x; y] =>
      match addend_of x, addend_of y with
      | Some (Tensors xs), Some (Tensors ys) => Some (Plus (xs ++ ys))
      | Some (Convolved z over others k), Some (Tensors ys) => Some (Conv z over (others ++ ys) k)
      | Some (Tensors xs), Some (Convolved z over others k) => Some (Conv z over (others ++ xs) k)
      | _, _ => None
      end
  | Conv x None [] k =>
      match node_at x with
      | Divide z d => if alone x then Some (Conv z (Some d) [] k) else Some n
      | _ => Some n
      end
  | Average x => match node_at x with Divide _ _ => None | _ => Some n end
  | Divide x _ =>
      match node_at x with
      | Conv _ _ _ _ | Average _ | Plus _ | Divide _ _ => None
      | _ => Some n
      end
  | Plus _ | Conv _ _ _ _ => None
  | _ => Some n
  end.
End Join.

Fixpoint joined (before after : list node) : option (list node) :=
  match after with
  | [] => Some before
  | n :: after' =>
      match join before n with
      | Some n' => joined (before ++ [n']) after'
      | None => None
      end
  end.

(** What reads a quotient is one convolution, which takes it in, or curves, which do not. *)
Definition quotient (x : nat) : bool :=
  match nth x all (Bytes 0 0 0) with Divide _ _ => true | _ => false end.
Definition quotients_fit (n : node) : bool :=
  match n with
  | Conv x _ _ _ => negb (quotient x) || alone x
  | Curve _ | Squash _ => true
  | _ => forallb (fun x => negb (quotient x)) (inputs n)
  end.
End Normal.

Definition normal_form (all : list node) : option (list node) :=
  if forallb (quotients_fit all) all then joined all [] all else None.
