(** * Lines: a number for each of some units, in machine integers

    The columns of the fast checker. An entry is the number of a unit and a signed number; keys
    descend, so that a new unit goes in front. Nothing here depends on the order but the time: the
    value at a unit is the sum of its entries.

    - [combined]: a sum of lines times integers, divided by a power of two and rounded to the
      nearest; [None] where a number could leave the 63 bits of a machine integer;
    - [extended]: a line with one entry more.

    Both keep the sum of absolute values below and from a boundary, and the number of entries.
    Proved in LineSums.v. *)

From Coq Require Import ZArith Uint63 List Bool.
Import ListNotations.
Open Scope uint63_scope.

(** A list of entries: the number of a unit, and a signed number. *)
Inductive line := Nil | Entry (g v : int) (rest : line).

(** A line, with the sums of its magnitudes before and from a boundary on, and its length. *)
Record stored := Stored { s_line : line; s_low : int; s_high : int; s_count : int }.

(** No entries. *)
Definition empty := Stored Nil 0 0 0.

(** Notations, so that [vm_compute] need not look them up: 2^62, 2^40, and an absolute value. *)
Notation limit_sum := 4611686018427387904%uint63.
Notation limit_count := 1099511627776%uint63.
Notation magnitude v := (if v <? 4611686018427387904 then v else 0 - v)%uint63.

(** ** One term *)

(** [c] times a line. *)
Definition scaled (c : int) := fix scaled (a : line) : line :=
  match a with Nil => Nil | Entry g v a' => Entry g (c * v) (scaled a') end.

(** [c] times [a], plus [b]. *)
Definition added (c : int) := fix added (a b : line) : line :=
  match a with
  | Nil => b
  | Entry g v a' => match b with
    | Nil => scaled c a
    | Entry h w b' =>
        if g =? h then Entry g (c * v + w) (added a' b')
        else if h <? g then Entry g (c * v) (added a' b)
        else Entry h w ((fix pass (b : line) : line :=
          match b with
          | Nil => scaled c a
          | Entry h w b' =>
              if g <? h then Entry h w (pass b')
              else if g =? h then Entry g (c * v + w) (added a' b')
              else Entry g (c * v) (added a' b)
          end) b')
    end
  end.

(** ** Rounding, and what is kept with a line *)

(** The nearest of [v / 2 ^ e], where [bias] is [2 ^ 62], and a half of [2 ^ e]; [back] is
    [2 ^ (62 - e)]. *)
Definition rounded (bias back e : int) := fix rounded (a : line) : line :=
  match a with
  | Nil => Nil
  | Entry g v a' => if v =? 0 then rounded a' else Entry g (((v + bias) >> e) - back) (rounded a')
  end.

(** A line with its norms, up to the boundary [B] and from it on. *)
Definition measuring (B : int) (l : line) :=
  fix measuring (a : line) (low high count : int) : stored :=
  match a with
  | Nil => Stored l low high count
  | Entry g v a' => let x := magnitude v in
      if g <? B then measuring a' (low + x) high (count + 1)
      else measuring a' low (high + x) (count + 1)
  end.

Definition measured (B : int) (l : line) : stored := measuring B l l 0 0 0.

(** ** The two operations *)

(** Whether a sum of lines times integers stays within a machine integer. *)
Fixpoint room (terms : list (int * stored)) (sum count : int) : bool :=
  match terms with
  | [] => true
  | (c, s) :: rest =>
      let (over, x) := mulc (magnitude c) (s_low s + s_high s) in
      if (over =? 0) && (x <? limit_sum) && (sum + x <? limit_sum) &&
      (count + s_count s <? limit_count)
      then room rest (sum + x) (count + s_count s) else false
  end.

(** The sum of lines times integers. *)
Definition gathered (terms : list (int * stored)) : line :=
  fold_right (fun t b => added (fst t) (s_line (snd t)) b) Nil terms.

(** That sum over [2^e], rounded to the nearest. *)
Definition combined (B e : int) (terms : list (int * stored)) : option stored :=
  let half := (1 << e) >> 1 in
  if (e <? 62) && room terms half 0
  then Some (measured B (rounded (limit_sum + half) (limit_sum >> e) e (gathered terms))) else None.

(** A line with one entry more, for a later unit. *)
Definition extended (B : int) (s : stored) (g v : int) : option stored :=
  let x := magnitude v in
  if (s_low s + s_high s + x <? limit_sum) && (s_count s + 1 <? limit_count) then
    Some (if g <? B then Stored (Entry g v (s_line s)) (s_low s + x) (s_high s) (s_count s + 1)
      else Stored (Entry g v (s_line s)) (s_low s) (s_high s + x) (s_count s + 1))
  else None.
