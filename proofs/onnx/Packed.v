(** * A file as a list of bytes, from few literals

    A list of 16 million literals is more than Coq reads. Here 7 bytes share a literal, 28 literals
    a constructor, and runs of zeros are counted: [unpack literals runs] is the file. Nothing is
    claimed of this, and nothing has to be: what it gives *is* the file that the theorem speaks of,
    and its SHA-256 is computed from it.

    Rests on Coq's machine integers. *)

From Coq Require Import Uint63 List ZArith.
Import ListNotations.
Open Scope uint63_scope.

Inductive packed :=
| End
| Pack (a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23 a24
    a25 a26 a27 : int)
       (rest : packed).

Fixpoint ints (p : packed) : list int :=
  match p with
  | End => []
  | Pack a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23 a24
      a25 a26 a27 p' =>
      a0 :: a1 :: a2 :: a3 :: a4 :: a5 :: a6 :: a7 :: a8 :: a9 :: a10 :: a11 :: a12 :: a13 :: a14 ::
      a15 :: a16 :: a17 ::
      a18 :: a19 :: a20 :: a21 :: a22 :: a23 :: a24 :: a25 :: a26 :: a27 :: ints p'
  end.

(** Seven bytes of each, the first one highest. *)
Fixpoint sevens (l : list int) : list int :=
  match l with
  | [] => []
  | a :: l' =>
      (a >> 48) :: (a >> 40) land 255 :: (a >> 32) land 255 :: (a >> 24) land 255 ::
      (a >> 16) land 255 ::
               (a >> 8) land 255 :: a land 255 :: sevens l'
  end.

Fixpoint zeros (n : positive) (l : list int) : list int :=
  match n with
  | xH => 0 :: l
  | xO n' => zeros n' (zeros n' l)
  | xI n' => 0 :: zeros n' (zeros n' l)
  end.

(** [n] bytes from [l], then [z] zeros, then the next run, which is [n * 2^25 + z]; one of no bytes
    is the end. *)
Fixpoint fill (l : list int) (n z : int) (runs : list int) : list int :=
  match l with
  | [] => []
  | b :: l' =>
      if n =? 0 then []
      else b :: if n =? 1
                then let next := match runs with [] => [] | r :: runs' =>
                  fill l' (r >> 25) (r land 0x1ffffff) runs' end in
                     match to_Z z with Zpos p => zeros p next | _ => next end
                else fill l' (n - 1) z runs
  end.

Definition unpack (literals runs : packed) : list int :=
  match ints runs with [] => [] | r :: runs' =>
    fill (sevens (ints literals)) (r >> 25) (r land 0x1ffffff) runs' end.
